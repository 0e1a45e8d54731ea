"""GSPO's ratio (equation 7): of the whole output."""

from __future__ import annotations

import torch

from r1ray.algo.aggregation import row_means


def of_sequence(difference_N: torch.Tensor, lengths_B: torch.Tensor) -> torch.Tensor:
    """Return the mean of the log ratios of an output's tokens (the ratio is their geometric mean), for each of them."""
    return row_means(difference_N, lengths_B).repeat_interleave(lengths_B)
