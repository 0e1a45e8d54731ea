"""Inputs of surrogates, for tests."""

from __future__ import annotations

import torch

from r1ray.algo.inputs import LossInputs


def loss_inputs(
    ratio_N: torch.Tensor,
    logp_N: torch.Tensor,
    advantage_N: torch.Tensor,
    *,
    clip_low: float = 0.2,
    clip_high: float = 0.2,
    lengths: tuple[int, ...] | None = None,
) -> LossInputs:
    """Return inputs of fresh tokens whose pi_old is the engine's, without a reference.

    Args:
        lengths: tokens of each output; None: one output.
    """
    old_N = (logp_N - ratio_N.log()).detach()
    return LossInputs(
        logp_N=logp_N,
        ratio_N=ratio_N,
        old_logp_N=old_N,
        rollout_logp_N=old_N,
        ref_logp_N=None,
        advantage_N=advantage_N,
        fresh_N=torch.ones(len(logp_N), dtype=torch.bool),
        lengths_B=torch.tensor(lengths or (len(logp_N),)),
        clip_low=clip_low,
        clip_high=clip_high,
    )
