"""All-reduce and broadcast between processes that stand where a run's actors will, timed.

The rendezvous are those of the run: both groups go by the interface that reaches rank 0, the learner's by PyTorch's own
process group, that of the weights by one beside it.
"""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import torch
import torch.distributed as dist
from torch.distributed import ProcessGroupGloo, TCPStore  # type: ignore[attr-defined]  # torch's stubs

from r1ray.cluster.host import address_and_port
from r1ray.weights.network import broadcast, interface_of, open_group, own_address

ROUNDS = 5


@dataclass(frozen=True, slots=True)
class Membership:
    """One process's place in a group."""

    address: str
    """Of rank 0's node, with a free port of it."""
    port: int
    rank: int
    world_size: int
    backend: str
    """``nccl`` or ``gloo``."""
    timeout_s: float

    @property
    def device(self) -> torch.device:
        return torch.device("cuda", 0) if self.backend == "nccl" else torch.device("cpu")


@dataclass(frozen=True, slots=True)
class Timed:
    """What one process saw."""

    seconds: float
    """Of one operation: the median of several."""
    is_right: bool
    """Whether what arrived is what was sent."""


class Party:
    """A learner rank, or a rollout engine, that does nothing but communicate. An engine on several GPUs is represented
    by its first one, an engine on several nodes by the first of each."""

    def __init__(self) -> None:
        torch.set_num_threads(1)

    def place(self) -> tuple[str, int]:
        """Where a rank 0 on this node is met."""
        return address_and_port()

    def all_reduce(self, *place: Any, num_bytes: int) -> Timed:
        """Sum [num_bytes / 4] float32 over a group; ``place`` is a :class:`Membership`'s fields."""
        group = Membership(*place)
        first = torch.full((1024,), float(group.rank + 1), device=group.device)
        tensor = torch.zeros(num_bytes // 4, device=group.device)
        with _joined(group):
            dist.all_reduce(first)
            seconds = _median(lambda: dist.all_reduce(tensor), group.device)
        return Timed(seconds, bool((first == group.world_size * (group.world_size + 1) / 2).all()))

    def broadcast(self, *place: Any, num_bytes: int) -> Timed:
        """Send [num_bytes] uint8 from rank 0 to all others."""
        group = Membership(*place)
        first = torch.full((1024,), 7 if group.rank == 0 else 0, dtype=torch.uint8, device=group.device)
        tensor = torch.zeros(num_bytes, dtype=torch.uint8, device=group.device)
        if group.backend == "nccl":
            with _joined(group):
                dist.broadcast(first, 0)
                seconds = _median(lambda: dist.broadcast(tensor, 0), group.device)
        else:
            beside = _open_beside(group)
            broadcast(beside, first)
            seconds = _median(lambda: broadcast(beside, tensor), group.device)
        return Timed(seconds, bool((first == 7).all()))


def _open_beside(group: Membership) -> ProcessGroupGloo:
    """A group as that of the weights, beside PyTorch's own."""
    timeout = timedelta(seconds=group.timeout_s)
    store = TCPStore(group.address, group.port, is_master=group.rank == 0, timeout=timeout, wait_for_workers=False)
    return open_group(
        store,
        name="probe",
        address=group.address,
        rank=group.rank,
        world_size=group.world_size,
        timeout_s=group.timeout_s,
    )


@contextmanager
def _joined(group: Membership) -> Iterator[None]:
    """PyTorch's own process group, as a learner's."""
    os.environ.setdefault("GLOO_SOCKET_IFNAME", interface_of(own_address(group.address, group.port)))
    dist.init_process_group(
        group.backend,
        init_method=f"tcp://{group.address}:{group.port}",
        rank=group.rank,
        world_size=group.world_size,
        timeout=timedelta(seconds=group.timeout_s),
    )
    try:
        yield
    finally:
        dist.destroy_process_group()


def _median(operation: Callable[[], object], device: torch.device) -> float:
    seconds = []
    for _ in range(ROUNDS):
        started = time.perf_counter()
        operation()
        if device.type == "cuda":
            torch.cuda.synchronize()
        seconds.append(time.perf_counter() - started)
    return statistics.median(seconds)
