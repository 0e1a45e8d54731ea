"""Contest standings: the place among the contestants that a set of solved problems gives.

One JSON line for each contest: ``{"standings": ..., "rating_changes": ...}``, the unchanged results of the Codeforces
API's ``contest.standings`` and ``contest.ratingChanges``. Only contestants whose rating changed count.
"""

from __future__ import annotations

from collections.abc import Set
from dataclasses import dataclass
from typing import Any

from r1ray.errors import UserError
from r1ray.evaluation.benchmarks.files import rows_of


@dataclass(frozen=True, slots=True)
class Contest:
    """One contest as it ended."""

    id: str
    problems: dict[str, float]
    """Points by index: ``{"A": 500.0}``."""
    ratings: tuple[int, ...]
    """Ratings of the contestants before the contest."""
    points: tuple[float, ...]
    """Points of each contestant, in the same order."""

    def place(self, solved: Set[str]) -> float:
        """Return the place of a contestant who solves these problems, 1 the best: behind all with more points, in the
        middle of those with equal points. A solution counts its problem's full points, because samples have no clock
        and no penalty.

        >>> Contest("1", {"A": 500.0, "B": 1000.0}, (1500, 1400, 1300), (1500.0, 500.0, 0.0)).place({"A"})
        2.5
        """
        ours = sum(self.problems[index] for index in solved)
        ahead = sum(points > ours for points in self.points)
        return 1 + ahead + sum(points == ours for points in self.points) / 2


def read_standings(path: str) -> dict[str, Contest]:
    """Return the contests of a file, by id. Raises UserError."""
    contests = {}
    for row in rows_of(path, key="standings"):
        try:
            contest = _contest(row)
        except (KeyError, IndexError, TypeError, ValueError) as error:
            raise UserError(
                f"standings={path}: {row['_row']}: needs standings and rating_changes as the Codeforces API gives "
                f"them: {type(error).__name__} {error}."
            ) from error
        contests[contest.id] = contest
    return contests


def _contest(row: dict[str, Any]) -> Contest:
    standings = row["standings"]
    ratings = {change["handle"]: int(change["oldRating"]) for change in row["rating_changes"]}
    results = [(entry["party"]["members"][0]["handle"], float(entry["points"])) for entry in standings["rows"]]
    rated = [(ratings[handle], points) for handle, points in results if handle in ratings]
    if not rated:
        raise ValueError("no contestant has a rating")
    return Contest(
        id=str(standings["contest"]["id"]),
        problems={problem["index"]: float(problem.get("points") or 1.0) for problem in standings["problems"]},
        ratings=tuple(rating for rating, _ in rated),
        points=tuple(points for _, points in rated),
    )
