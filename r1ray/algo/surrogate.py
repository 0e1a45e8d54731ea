"""Surrogate objective of each token, which training maximises (paper equation 1)."""

from __future__ import annotations

import torch

from r1ray.algo.inputs import LossInputs


def clipped(inputs: LossInputs) -> tuple[torch.Tensor, torch.Tensor]:
    """Return min(rho A, clip(rho, 1 - clip_low, 1 + clip_high) A), and a mask of the tokens whose clip was active.

    The two bounds may differ, as in DAPO, equation 10; the paper's are equal.
    """
    free_N = inputs.ratio_N * inputs.advantage_N
    clipped_N = inputs.ratio_N.clamp(1.0 - inputs.clip_low, 1.0 + inputs.clip_high) * inputs.advantage_N
    return torch.minimum(free_N, clipped_N), clipped_N < free_N
