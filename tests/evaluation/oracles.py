"""Known models: their answers are right with a probability that is theirs by construction."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt


def oracle_scores(chance_Q: npt.ArrayLike, *, samples: int, rng: np.random.Generator) -> npt.NDArray[np.float64]:
    """[Q, K]: 1 with the chance of the question."""
    chances = np.asarray(chance_Q)[:, None]
    return (rng.random((len(chances), samples)) < chances).astype(np.float64)
