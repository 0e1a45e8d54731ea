"""CISPO's surrogate (MiniMax-M1, equations 4 and 5): the clip bounds a token's weight and keeps its gradient."""

from __future__ import annotations

import torch

from r1ray.algo.inputs import LossInputs


def weighted(inputs: LossInputs) -> tuple[torch.Tensor, torch.Tensor]:
    """Return sg(clip(rho, 1 - clip_low, 1 + clip_high)) A log pi_theta."""
    ratio_N = inputs.ratio_N.detach()
    weight_N = ratio_N.clamp(1.0 - inputs.clip_low, 1.0 + inputs.clip_high)
    return weight_N * inputs.advantage_N * inputs.logp_N, weight_N != ratio_N
