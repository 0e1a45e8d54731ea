"""The parity probe: log-probabilities of fixed sequences, by engines and learner. When it is due, and what it finds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from r1ray.errors import ParityError
from r1ray.types import Float32Array


@dataclass(frozen=True, slots=True)
class Probed:
    """Result of a parity probe: differences of log-probabilities, nats, each of the engine where it is largest."""

    max_diff: float | None = None
    """None where no probe was due."""
    mean_diff: float | None = None
    kl: float | None = None
    seconds: float = 0.0


def is_due(num_publishes: int, *, every: int) -> bool:
    """Say whether a publish is probed after so many others of this run: 0, 1, 2, 4, 8, ... and each multiple of
    ``every``. What is wrong is mostly so from the beginning, and shows once the weights have moved."""
    is_power_of_two = num_publishes & (num_publishes - 1) == 0
    return num_publishes % every == 0 or (is_power_of_two and num_publishes < every)


def disparity(found: Float32Array, expected: Float32Array) -> tuple[float, float, float]:
    """Largest and mean |log p(engine) - log p(learner)|, and the KL divergence by k3, of [N] float32 each."""
    difference = expected.astype(np.float64) - found.astype(np.float64)
    kl = np.exp(difference) - difference - 1.0
    return float(np.abs(difference).max()), float(np.abs(difference).mean()), float(kl.mean())


def judge(
    found: Mapping[str, Float32Array], expected: Float32Array, bounds: tuple[float, float], *, seconds: float
) -> Probed:
    """Compare the log-probabilities of engines, by name, with the learner's.

    Args:
        bounds: what the mean difference and the KL divergence may be, nats.
        seconds: that it took to compute them.

    Raises ParityError where they differ by more.
    """
    apart = {name: disparity(each, expected) for name, each in found.items()}
    mean_bound, kl_bound = bounds
    wrong = {name: each for name, each in apart.items() if not (each[1] <= mean_bound and each[2] <= kl_bound)}
    if wrong:
        raise ParityError(
            "; ".join(
                f"{name} differs from the learner by {mean:.2g} nats in the mean (KL {kl:.2g})"
                for name, (_, mean, kl) in wrong.items()
            )
            + f" on the {len(expected)} tokens of the parity probe; it may by {mean_bound:g} and {kl_bound:g} "
            "(weights.probe_tolerance, weights.probe_kl)",
            engines=tuple(wrong),
        )
    largest, mean, kl = (max(each) for each in zip(*apart.values(), strict=True))
    return Probed(largest, mean, kl, seconds)
