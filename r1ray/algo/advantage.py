"""The group-normalised advantage (paper section 2.2.1, equation 3)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def group_advantages(rewards_G: Sequence[float | None], *, std: str, epsilon: float) -> list[float | None]:
    """A_i = (r_i - mean(r)) / (std(r) + epsilon), over the completions of one group.

    Args:
        rewards_G: one reward for each completion; None where the completion could not be scored. It takes no part in
            the mean and the std, and its advantage is None.
        std: ``sample`` divides by the std with ddof 1, ``population`` with ddof 0, ``none`` divides by nothing.

    A group whose rewards are all equal, or that has fewer than two rewards, teaches nothing: its advantages are 0.

    >>> group_advantages([1.0, 0.0, None, 0.0], std="none", epsilon=0.0)
    [0.6666666666666667, -0.3333333333333333, None, -0.3333333333333333]
    """
    known = np.array([reward for reward in rewards_G if reward is not None], dtype=np.float64)
    if len(known) < 2 or np.ptp(known) == 0.0:
        return [None if reward is None else 0.0 for reward in rewards_G]
    scale = 1.0 if std == "none" else known.std(ddof={"sample": 1, "population": 0}[std]) + epsilon
    mean = known.mean()
    return [None if reward is None else float((reward - mean) / scale) for reward in rewards_G]
