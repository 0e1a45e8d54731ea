"""Which tensors travel together. Pure planning: both sides make the same plan from the same metadata."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

DTYPE_BYTES = {"float32": 4, "bfloat16": 2, "float16": 2, "uint8": 1}
ANSWER_S, LEAST_RATE = 20.0, 16 * 2**20
"""A bucket may take so long, and a second more for so many bytes: on the wire, or to load the one before it."""


@dataclass(frozen=True, slots=True)
class TensorMeta:
    """One tensor of the stream: its Hugging Face name, wire dtype (as in ``torch.float32``) and full shape."""

    name: str
    dtype: str
    shape: tuple[int, ...]

    @property
    def num_bytes(self) -> int:
        return math.prod(self.shape) * DTYPE_BYTES[self.dtype]


def plan_buckets(metas: Sequence[TensorMeta], *, max_bytes: int) -> list[list[TensorMeta]]:
    """Neighbouring tensors of one dtype, together at most ``max_bytes``; a larger tensor is a bucket of its own.

    The order is kept: vLLM reloads a layer as soon as all of it has arrived.
    """
    buckets: list[list[TensorMeta]] = []
    filled = 0
    for meta in metas:
        if buckets and buckets[-1][0].dtype == meta.dtype and filled + meta.num_bytes <= max_bytes:
            buckets[-1].append(meta)
            filled += meta.num_bytes
        else:
            buckets.append([meta])
            filled = meta.num_bytes
    return buckets


def bound_of(num_bytes: int, *, timeout_s: float) -> float:
    """Return how long a bucket may take, seconds: no longer than ``timeout_s``, that of the whole transfer."""
    return min(timeout_s, ANSWER_S + num_bytes / LEAST_RATE)
