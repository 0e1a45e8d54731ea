"""A surrogate of the user's own, in which a learner rank is lost."""

from __future__ import annotations

import os
from pathlib import Path

import torch
import torch.distributed as dist

from r1ray.algo.inputs import LossInputs
from r1ray.algo.surrogate import clipped


def breaking(inputs: LossInputs) -> tuple[torch.Tensor, torch.Tensor]:
    """The paper's; in the middle of it a rank sends itself a signal, once, if the file that FAULT names says so:
    ``<rank> <signal> <lines> <metrics.jsonl>``, when there are so many lines. They are kept beside the file."""
    path = Path(os.environ["FAULT"])
    if path.exists() and dist.is_initialized():  # not where it is tried out before the run
        rank, number, num_lines, metrics = path.read_text().split()
        lines = Path(metrics).read_text().splitlines() if Path(metrics).exists() else []
        if dist.get_rank() == int(rank) and len(lines) == int(num_lines):
            path.with_suffix(".jsonl").write_text("\n".join(lines))
            path.unlink()
            os.kill(os.getpid(), int(number))
    return clipped(inputs)
