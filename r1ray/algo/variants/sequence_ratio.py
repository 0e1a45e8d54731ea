"""GSPO's ratio (equation 7), one for the whole output."""

from __future__ import annotations

import torch

from r1ray.algo.aggregation import row_means


def of_sequence(difference_N: torch.Tensor, lengths_B: torch.Tensor) -> torch.Tensor:
    """Return, for each token, the mean of the log ratios of its output's tokens (the ratio is their geometric mean)."""
    return row_means(difference_N, lengths_B).repeat_interleave(lengths_B)
