"""Gloo between machines. By itself it takes the address that the host name stands for, which on many machines is
127.0.1.1, or on an interface that the others do not see."""

from __future__ import annotations

import socket
from datetime import timedelta

import psutil
import torch
from torch.distributed import PrefixStore, ProcessGroupGloo, TCPStore  # type: ignore[attr-defined]  # torch's stubs


def own_address(master_address: str, master_port: int) -> str:
    """The address by which this machine reaches the master; the master's own there."""
    family = socket.AF_INET6 if ":" in master_address else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as probe:
        probe.connect((master_address, master_port))  # sends nothing
        return str(probe.getsockname()[0])


def interface_of(address: str) -> str:
    """The name of the network interface that has an address of this machine."""
    held = psutil.net_if_addrs().items()
    return str(next(name for name, addresses in held if any(each.address == address for each in addresses)))


def serve_rendezvous(address: str, *, timeout_s: float) -> TCPStore:
    """Open the place where the members of groups meet, on a free port of this machine. It serves any number of groups,
    one after the other."""
    timeout = timedelta(seconds=timeout_s)
    return TCPStore(address, 0, is_master=True, timeout=timeout, wait_for_workers=False)


def join_rendezvous(address: str, port: int, *, timeout_s: float) -> TCPStore:
    """Return the place that rank 0 has opened."""
    return TCPStore(address, port, is_master=False, timeout=timedelta(seconds=timeout_s), wait_for_workers=False)


def open_group(
    store: TCPStore, *, name: str, address: str, rank: int, world_size: int, timeout_s: float
) -> ProcessGroupGloo:
    """Return a Gloo group beside any other process group of this process.

    Args:
        name: of the group: no two groups of a store have the same one. After one operation of a group has failed, all
            others fail, so that its members meet again under another name.
        address: of rank 0.
        timeout_s: bounds the wait for all members, and then each operation.
    """
    options = ProcessGroupGloo._Options()  # type: ignore[attr-defined]  # missing in torch's stubs
    options._timeout = timedelta(seconds=timeout_s)
    options._devices = [ProcessGroupGloo.create_device(hostname=own_address(address, store.port))]
    return ProcessGroupGloo(PrefixStore(name, store), rank, world_size, options)


def broadcast(group: ProcessGroupGloo, tensor: torch.Tensor, *, timeout_s: float | None = None) -> None:
    """Send a tensor from rank 0 to all others, which receive into theirs. Raises RuntimeError after ``timeout_s``, or
    else the group's own timeout."""
    if timeout_s is not None:
        group._set_default_timeout(timedelta(seconds=timeout_s))
    options = torch.distributed.BroadcastOptions()
    options.rootRank, options.rootTensor = 0, 0
    group.broadcast([tensor], options).wait()  # type: ignore[attr-defined]
