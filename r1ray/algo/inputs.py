"""Inputs of the functions behind a door: one frozen object each, so that a field can be added without a change of
those that do not read it.

    rewards of a step    --AdvantageInputs--> algo.advantage_baseline --> r_i minus a baseline
    tokens of a micro-batch   --LossInputs--> algo.surrogate          --> what is maximised of each token
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class AdvantageInputs:
    """Rewards of one step, for each of its ``P`` groups those of its ``G`` outputs that could be scored: [G] float64
    each, and G is 1 at least."""

    rewards_PG: Sequence[npt.NDArray[np.float64]]
    lengths_PG: Sequence[npt.NDArray[np.float64]]
    """Tokens of the same outputs that are in the loss; 0 for an output that is masked out."""

    @property
    def masked_PG(self) -> list[npt.NDArray[np.bool_]]:
        """Outputs that are not in the loss: their rewards are known all the same."""
        return [np.asarray(lengths_G == 0) for lengths_G in self.lengths_PG]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class LossInputs:
    """The tokens in the loss of a micro-batch: ``N`` tokens of ``B`` outputs, end to end in the order of the outputs.
    There is no padding. Prompts, what tools said and outputs that are masked out are not among them."""

    logp_N: torch.Tensor  # [N] float32
    """log pi_theta, with gradient."""
    ratio_N: torch.Tensor  # [N] float32
    """rho = pi_theta / pi_old, with gradient: of the token, or of its output (``algo.ratio``)."""
    old_logp_N: torch.Tensor  # [N] float32
    """log pi_old (``algo.old_logprobs``), a constant, as all below."""
    rollout_logp_N: torch.Tensor  # [N] float32
    """The log-probability with which the engine sampled the token."""
    ref_logp_N: torch.Tensor | None  # [N] float32
    """log pi_ref; None without a reference in the loss."""
    advantage_N: torch.Tensor  # [N] float32
    """A_i of the token's output; with a teacher its part of the token is added, or stands in its place."""
    fresh_N: torch.Tensor  # [N] bool
    """Tokens that the version that is trained sampled; the others are stale."""
    lengths_B: torch.Tensor  # [B] int64
    """Number of the N tokens that each output has."""
    clip_low: float
    """``algo.clip_low``."""
    clip_high: float
    """``algo.clip_high``."""
    teacher_logp_N: torch.Tensor | None = None  # [N] float32
    """log pi_teacher (``algo.teacher``), for tokens of a domain without a teacher log pi_theta; None: no teacher."""

    @property
    def output_N(self) -> torch.Tensor:
        """The number of each token's output among the B, [N] int64."""
        import torch

        numbers_B = torch.arange(len(self.lengths_B), device=self.lengths_B.device)
        return numbers_B.repeat_interleave(self.lengths_B)
