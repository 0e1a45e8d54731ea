"""DAPO's dynamic sampling (section 3.2): groups without a learning signal are replaced."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def is_uniform(rewards_G: Sequence[float | None]) -> bool:
    """Return whether all known rewards of a group are equal, so that it gives no learning signal."""
    known = [reward for reward in rewards_G if reward is not None]
    return not known or bool(np.ptp(known) == 0.0)
