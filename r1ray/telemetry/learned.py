"""Log-probabilities that the learner found in training, for the rollout log.

a rank's forward passes --learned_of--> Learned, by trajectory --> rollout rows (``learner_logprobs``)
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from r1ray.types import Float32Array


@dataclass(frozen=True, slots=True)
class Learned:
    """The learner's log-probabilities of a trajectory's policy tokens."""

    logprobs: Float32Array  # [T] float32, of all policy segments, one after the other
    num_updates: int
    """Updates of the step before the forward pass that they are of."""


def learned_of(
    ids: Sequence[str], logp_N: Float32Array, lengths_B: Sequence[int], *, num_updates: int
) -> dict[str, Learned]:
    """Return the log-probabilities of a micro-batch by the ids of its trajectories.

    Args:
        logp_N: [N] float32, of all trajectories, one after the other.
        lengths_B: policy tokens of each.
    """
    parts = np.split(logp_N, np.cumsum(lengths_B)[:-1])
    return {name: Learned(part, num_updates) for name, part in zip(ids, parts, strict=True)}
