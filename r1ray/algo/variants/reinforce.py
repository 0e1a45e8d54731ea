"""REINFORCE's surrogate (RLOO, equation 5): no ratio, no clip."""

from __future__ import annotations

import torch

from r1ray.algo.inputs import LossInputs


def reinforce(inputs: LossInputs) -> tuple[torch.Tensor, torch.Tensor]:
    """Return A log pi_theta."""
    return inputs.advantage_N * inputs.logp_N, torch.zeros_like(inputs.logp_N, dtype=torch.bool)
