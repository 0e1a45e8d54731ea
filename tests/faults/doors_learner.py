"""A surrogate of the user's own, in which the learner is held; with it come the gate of checkpoints."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist

from r1ray.algo.inputs import LossInputs
from r1ray.algo.surrogate import clipped
from r1ray.learner.grpo import GRPOLearner
from tests.faults.gate import hold


def surrogate(inputs: LossInputs) -> tuple[torch.Tensor, torch.Tensor]:
    """The paper's."""
    if dist.is_initialized():  # not where it is tried out before the run
        hold("learning")
    return clipped(inputs)


_save = GRPOLearner.save


def save(self: GRPOLearner, folder: Path, **how: Any) -> None:
    """Save as the learner does, and wait when the files are being written."""
    _save(self, folder, **how)
    hold("checkpointing")


GRPOLearner.save = save  # type: ignore[method-assign]
