"""Faults: the actors that a run has lost and brought back, by their role."""

from __future__ import annotations

from collections import Counter

from r1ray.runtime import events


class Faults:
    """Counts since this process began."""

    def __init__(self) -> None:
        self._lost: Counter[str] = Counter()
        self.restarts = 0
        """Restarts of the learner group."""

    def note(self, role: str, count: int = 1) -> None:
        """Note that actors of a role are lost."""
        self._lost[role] += count
        events.note("fault", detail=role if count == 1 else f"{count} x {role}")

    def metrics(self) -> dict[str, float]:
        """Return ``learner/restarts``, and ``faults/<role>`` for each role with lost actors."""
        lost = {f"faults/{role}": float(count) for role, count in sorted(self._lost.items())}
        return {"learner/restarts": float(self.restarts), **lost}
