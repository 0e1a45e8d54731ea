"""The learner's side of a publish: what sends its weight stream."""

from __future__ import annotations

from typing import Any, Protocol

from r1ray.weights import gloo
from r1ray.weights.snapshot import SnapshotPlace
from r1ray.weights.stream import WeightStream


class Sender(Protocol):
    """One learner rank's end of the way to the engines. Every call has to be made on every rank."""

    def connect(self, client: Any, *, world_size: int) -> None:
        """Meet the vLLM workers behind ``client`` (of rank 0 alone: others only gather), in place of the last ones."""
        ...

    def send_weights(self, place: SnapshotPlace | None = None) -> str:
        """Make one publish, and write what is sent to ``place`` too. Returns what kept it from that; "" for nothing."""
        ...


def open_sender(stream: WeightStream, *, backend: str, **link: Any) -> Sender:
    """Return the sender of a backend. ``link`` are the arguments of :class:`r1ray.weights.gloo.GlooSender`, the same
    for either."""
    if backend == gloo.BACKEND:
        return gloo.GlooSender(stream, **link)
    from r1ray.weights import ipc, nccl  # import vLLM, which a learner on CPUs needs for nothing else

    return ipc.IPCSender(stream, **link) if backend == ipc.BACKEND else nccl.NCCLSender(stream, **link)
