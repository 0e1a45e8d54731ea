"""The curriculum: which prompts come, and in what order, by how hard they are."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from r1ray.config.values import at_least, finite, one_of

MEASURES = ("difficulty", "pass_rate")
ORDERS = ("shuffled", "easy_first", "hard_first")


@dataclass
class DifficultyConfig:
    """Choice and order of the training prompts, by how hard they are."""

    column: str | None = None
    """Column of numbers that say how hard a prompt is. null: nobody said."""
    measures: str = "difficulty"
    """Meaning of ``column``: ``difficulty`` (a higher number is harder) or ``pass_rate`` (the share of right responses,
    from 0 to 1, by which the band begins)."""
    file: str | None = None
    """File that has ``column``, in rows with the ``id`` of a prompt: pass rates that were measured apart. null: the
    file of the prompts has it."""
    min: float | None = None
    """Least value of ``column``; prompts below it, and those without a value, are left out. null: no bound."""
    max: float | None = None
    """Largest value of ``column``; prompts above it, and those without a value, are left out. null: no bound."""
    order: str = "shuffled"
    """Order of a pass over the prompts: ``shuffled``, or ``easy_first`` or ``hard_first`` by ``column``, where prompts
    without a value come last."""
    band: Any = None
    """Pass rates that are preferred, ``[0.2, 0.8]``, as the run's own groups measure them: a prompt whose last group
    lies outside comes in one of ``revisit_passes`` passes. null: every prompt comes in every pass."""
    revisit_passes: int = 4
    """Passes in which a prompt outside ``band`` comes once. Unit: passes."""
    retire_after: int = 0
    """Groups in a row whose responses are all right, after which a prompt does not come again. 0: never. Unit:
    groups."""
    part: str = "accuracy"
    """Part of the reward that says whether a response is right: 1 is right, and less is so in part."""

    def __post_init__(self) -> None:
        one_of("data.difficulty.measures", self.measures, MEASURES)
        one_of("data.difficulty.order", self.order, ORDERS)
        at_least("data.difficulty.revisit_passes", self.revisit_passes, 2)
        at_least("data.difficulty.retire_after", self.retire_after, 0)
        if self.band is not None:
            self.band = _band(self.band)
        self._check_column()

    def _check_column(self) -> None:
        for key in ("min", "max"):
            if (bound := getattr(self, key)) is not None:
                finite(f"data.difficulty.{key}", bound)
        if self.min is not None and self.max is not None and self.min > self.max:
            raise ValueError(f"data.difficulty.min={self.min:g}: needs at most data.difficulty.max={self.max:g}.")
        needing = {"file": self.file, "min": self.min, "max": self.max}
        named = [key for key, value in needing.items() if value is not None]
        named += ["order"] if self.order != "shuffled" else []
        named += ["measures"] if self.measures != "difficulty" else []
        if named and self.column is None:
            key = named[0]
            raise ValueError(
                f"data.difficulty.{key}={getattr(self, key)}: needs data.difficulty.column=NAME, the column of numbers "
                "that say how hard a prompt is."
            )

    @property
    def is_measured(self) -> bool:
        """Return if the run's own groups decide which prompts come."""
        return self.band is not None or self.retire_after > 0


def _band(value: Any) -> list[float]:
    """Return both ends."""
    is_pair = isinstance(value, list | tuple) and len(value) == 2
    if not is_pair or not all(isinstance(end, int | float) and not isinstance(end, bool) for end in value):
        raise ValueError(f"data.difficulty.band={value}: needs two pass rates, as in [0.2, 0.8].")
    low, high = map(float, value)
    if not 0 <= low <= high <= 1:
        raise ValueError(
            f"data.difficulty.band=[{low:g}, {high:g}]: needs two pass rates from 0 to 1, the lower first."
        )
    return [low, high]
