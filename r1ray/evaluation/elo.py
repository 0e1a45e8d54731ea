"""Codeforces ratings of a model from the places it would have had in contests (paper section 3: ten Div. 2 contests,
expected rating, percentile).

    place, ratings of the contestants --contest_rating--> one rating a contest --mean--> rating --percentile-->

Sources. The chance to finish ahead and the expected place ("seed") are from M. Mirzayanov's "Open Codeforces Rating
System" (codeforces.com/blog/entry/20762), which also finds the performance rating by bisection. The definition of a
model's rating, at which the expected place equals the achieved one, averaged over contests, is from Quan et al. 2025,
"CodeElo" (arXiv 2501.01257). Their script counts places from 0 but seeds from 1; here both count from 1, which changes
a rating by less than one place's worth. The paper does not tell how it computed its own 2029.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

LOWEST = 0.0
"""Rating of a contestant behind everybody, for whom no rating would be low enough."""
MARGIN = 100.0
"""Difference between the best contestant's rating and that of a contestant ahead of everybody, for whom no rating would
be high enough. CodeElo's bound."""
_ACCURACY = 1e-6


def win_probability(rating: float, other: float) -> float:
    """Return the chance to finish ahead of one contestant: 1 / (1 + 10^((other - rating) / 400)).

    >>> win_probability(1500, 1500), round(win_probability(1900, 1500), 4)
    (0.5, 0.9091)
    """
    return float(1.0 - _ahead(rating, np.array([other]))[0])


def expected_place(rating: float, ratings_N: Sequence[float]) -> float:
    """Return the place, 1 the best, that a contestant with this rating expects among N others: 1 + the sum of their
    chances to finish ahead.

    >>> expected_place(1500, [1500, 1500])
    2.0
    """
    return 1.0 + float(_ahead(rating, np.asarray(ratings_N, dtype=np.float64)).sum())


def contest_rating(place: float, ratings_N: Sequence[float]) -> float:
    """Return, by bisection, the rating whose expected place among the contestants is the achieved one; between
    ``LOWEST`` and the best contestant's rating + ``MARGIN``.

    Args:
        place: from 1, ahead of all N contestants, to N + 1, behind all; halves stand for ties, as in
            :meth:`r1ray.evaluation.benchmarks.standings.Contest.place`.
        ratings_N: ratings of the contestants before the contest, without the model.
    """
    ratings = np.asarray(ratings_N, dtype=np.float64)
    if not len(ratings) or not 1 <= place <= len(ratings) + 1:
        raise ValueError(f"place {place:g} among {len(ratings)} contestants; needs one from 1 to {len(ratings) + 1}.")
    low, high = LOWEST, max(LOWEST, float(ratings.max()) + MARGIN)
    while high - low > _ACCURACY:
        middle = (low + high) / 2
        if 1.0 + _ahead(middle, ratings).sum() < place:  # better than achieved: the rating is too high
            high = middle
        else:
            low = middle
    return (low + high) / 2


def contest_ratings(places: Sequence[float], contests: Sequence[Sequence[float]]) -> list[float]:
    """Return the rating for each contest; their mean is the model's. :func:`r1ray.evaluation.statistics.bootstrap`
    computes its interval over contests, from one row for each contest with one number for each run."""
    return [contest_rating(place, ratings) for place, ratings in zip(places, contests, strict=True)]


def percentile(rating: float, ratings: Sequence[float]) -> float:
    """Return how many of 100 have a lower rating ("outperforms 96.3 % of participants"); equal ratings are not lower.

    >>> percentile(1500, [1200, 1400, 1500, 1900])
    50.0
    """
    if not ratings:
        raise ValueError("a percentile among no ratings.")
    return 100.0 * bisect_left(sorted(ratings), rating) / len(ratings)


def _ahead(rating: float, ratings_N: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Return each contestant's chance to finish ahead of the rating, [N]."""
    return np.asarray(1.0 / (1.0 + 10.0 ** ((rating - ratings_N) / 400.0)))
