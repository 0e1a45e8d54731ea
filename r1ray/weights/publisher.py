"""The learner's side of a publish: the engine that sends its weight stream."""

from __future__ import annotations

from typing import Any

from r1ray.weights import gloo
from r1ray.weights.stream import WeightStream


def open_sender(stream: WeightStream, client: Any, *, backend: str, **link: Any) -> Any:
    """Connect this learner rank to the engines behind ``client``; ``send_weights()`` of what is returned is one
    publish, to be called on every rank, ``shutdown()`` leaves the group. ``link`` are the arguments of
    :class:`r1ray.weights.gloo.GlooSender`, the same for either backend."""
    if backend == gloo.BACKEND:
        return gloo.GlooSender(stream, client, **link)
    from r1ray.weights import nccl  # imports vLLM, which a learner on CPUs needs for nothing else

    return nccl.open_sender(stream, client, **link)
