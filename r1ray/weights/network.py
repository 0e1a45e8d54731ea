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


def open_group(*, address: str, port: int, rank: int, world_size: int, timeout_s: float) -> ProcessGroupGloo:
    """A Gloo group beside any other process group of this process. Rank 0 serves the rendezvous."""
    timeout = timedelta(seconds=timeout_s)
    store = TCPStore(address, port, world_size, is_master=rank == 0, timeout=timeout, wait_for_workers=False)
    options = ProcessGroupGloo._Options()  # type: ignore[attr-defined]  # missing in torch's stubs
    options._timeout = timeout
    options._devices = [ProcessGroupGloo.create_device(hostname=own_address(address, port))]
    return ProcessGroupGloo(PrefixStore("r1ray", store), rank, world_size, options)


def broadcast(group: ProcessGroupGloo, tensor: torch.Tensor) -> None:
    """Send a tensor from rank 0 to all others, which receive into theirs. Raises RuntimeError after the timeout."""
    options = torch.distributed.BroadcastOptions()
    options.rootRank, options.rootTensor = 0, 0
    group.broadcast([tensor], options).wait()  # type: ignore[attr-defined]
