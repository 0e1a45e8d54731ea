"""The std of a group with ddof 0."""

from __future__ import annotations

from collections.abc import Sequence

from r1ray.algo.advantage import Array, Divide, over_group_std


def over_population_std(
    centred_PG: Sequence[Array], rewards_PG: Sequence[Array], lengths_PG: Sequence[Array], divide: Divide
) -> list[Array]:
    """Divide by std(r) of each group, with ddof 0."""
    return over_group_std(centred_PG, rewards_PG, lengths_PG, divide, ddof=0)
