"""A surrogate of the user's own, in which the learner is held; with it come the gate of checkpoints."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from r1ray.algo.surrogate import clipped
from r1ray.learner.grpo import GRPOLearner
from tests.faults.gate import hold


def surrogate(
    ratio_N: torch.Tensor, logp_N: torch.Tensor, advantage_N: torch.Tensor, *, clip_low: float, clip_high: float
) -> tuple[torch.Tensor, torch.Tensor]:
    """The paper's."""
    hold("learning")
    return clipped(ratio_N, logp_N, advantage_N, clip_low=clip_low, clip_high=clip_high)


_save = GRPOLearner.save


def save(self: GRPOLearner, folder: Path, **how: Any) -> None:
    """Save as the learner does, and wait when the files are being written."""
    _save(self, folder, **how)
    hold("checkpointing")


GRPOLearner.save = save  # type: ignore[method-assign]
