"""Dr. GRPO's choice: rewards are centred but not scaled."""

from __future__ import annotations

from collections.abc import Sequence

from r1ray.algo.advantage import Array, Divide


def unscaled(
    centred_PG: Sequence[Array], rewards_PG: Sequence[Array], lengths_PG: Sequence[Array], divide: Divide
) -> list[Array]:
    """Return the centred rewards."""
    return list(centred_PG)
