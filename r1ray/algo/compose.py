"""Composition of the named parts of a reward into one number (paper section 2.3.2 adds them up)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np


def total_reward(parts: Mapping[str, float], weights: Mapping[str, float], *, gate: str | None = None) -> float:
    """Return sum_k w_k r_k over the parts that exist and have a weight; 0 if the part ``gate`` is below 1.

    >>> total_reward({"accuracy": 1.0, "format": 0.0}, {"accuracy": 1.0, "format": 0.5})
    1.0
    >>> total_reward({"accuracy": 1.0, "format": 0.0}, {"accuracy": 1.0, "format": 0.5}, gate="format")
    0.0
    """
    if gate is not None and parts.get(gate, 1.0) < 1.0:
        return 0.0
    return sum(weights[name] * value for name, value in parts.items() if name in weights)


def accuracy(parts: Mapping[str, float], total: float) -> float:
    """Return the accuracy of a judged response, whatever its weight; the whole reward if no part has that name.

    >>> accuracy({"accuracy": 1.0, "format": 0.0}, 0.5), accuracy({"solved": 1.0}, 0.5)
    (1.0, 0.5)
    """
    return parts.get("accuracy", total)


def normalised_rewards(
    parts_G: Sequence[Mapping[str, float] | None], weights: Mapping[str, float], *, epsilon: float
) -> list[float | None]:
    """Return sum_k w_k (r_k - mean(r_k)) / (std(r_k) + epsilon), with mean and sample std of each part over the
    completions of one group, so that a part with a wide range does not drown the others. A part that is the same
    everywhere adds 0. The result is None for a completion that could not be scored.

    >>> normalised_rewards([{"a": 0.0, "b": 5.0}, None, {"a": 1.0, "b": 5.0}], {"a": 1.0, "b": 1.0}, epsilon=0.0)
    [-0.7071067811865475, None, 0.7071067811865475]
    """
    totals = np.zeros(len(parts_G))
    for name, weight in weights.items():
        having = [i for i, parts in enumerate(parts_G) if parts is not None and name in parts]
        values = np.array([parts[name] for i in having if (parts := parts_G[i]) is not None], dtype=np.float64)
        if len(values) > 1 and np.ptp(values) > 0:
            totals[having] += weight * (values - values.mean()) / (values.std(ddof=1) + epsilon)
    return [None if parts is None else float(total) for parts, total in zip(parts_G, totals, strict=True)]
