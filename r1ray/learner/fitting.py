"""Splitting of micro-batches that are longer than planned into parts within the limit, equally many on every rank.

The plan knows the lengths of prompts, and assumes that those of a group are the same. Only the learner knows whether
sequences are computed as a tree, and where their tokens diverge.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeAlias

import torch
import torch.distributed as dist

from r1ray.learner.rows import Rows
from r1ray.types import SampleRef

Part: TypeAlias = tuple[Sequence[SampleRef], Rows]
MakeRows: TypeAlias = Callable[[Sequence[SampleRef]], Rows]


def within_limit(samples: Sequence[SampleRef], make: MakeRows, *, max_tokens: int) -> list[Part]:
    """Return the rows of a micro-batch, halved until none has more than ``max_tokens`` or more than one sample."""
    rows = make(samples)
    if rows.num_tokens <= max_tokens or len(samples) < 2:
        return [(samples, rows)]
    half = len(samples) // 2
    return [
        part for each in (samples[:half], samples[half:]) for part in within_limit(each, make, max_tokens=max_tokens)
    ]


def fill_up(microbatches: Sequence[list[Part]], make: MakeRows, *, device: torch.device) -> None:
    """Add parts without samples to each micro-batch until all ranks have equally many, because ranks synchronize in
    each backward pass. Has to be called on every rank."""
    if not microbatches:
        return
    most = torch.tensor([len(parts) for parts in microbatches], dtype=torch.int64, device=device)
    dist.all_reduce(most, op=dist.ReduceOp.MAX)
    for parts, count in zip(microbatches, most.tolist(), strict=True):
        parts += [((), make(())) for _ in range(count - len(parts))]
