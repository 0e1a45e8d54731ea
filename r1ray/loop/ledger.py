"""Ledger of every group from issue to end; always ``issued = trained + dropped + in flight``.

    issue --> in flight --> train | drop(reason)
                  ^-------------- go_back

The ledger is saved with every checkpoint. A resumed run issues the groups that were in flight again, under their old
names, so that no group is trained twice and none is lost silently. If only the learner goes back to a checkpoint,
the ends that groups have had since then are undone.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import TypedDict

from r1ray.data.position import Position


class LedgerState(TypedDict):
    """The ledger in a checkpoint; positions as ``"<epoch>/<index>"``."""

    issued: int
    trained: int
    dropped: dict[str, int]
    in_flight: list[str]


def group_id_of(position: Position) -> str:
    """Return the name of one use of a prompt: ``"<epoch>/<index>"``."""
    return f"{position.epoch}/{position.index}"


def position_of(group_id: str) -> Position:
    """Return the position in a name: the inverse of :func:`group_id_of`."""
    epoch, index = group_id.split("/")
    return Position(int(epoch), int(index))


class Ledger:
    """Counts of groups, and the names of those in flight."""

    def __init__(self, state: LedgerState | None = None) -> None:
        self.issued = state["issued"] if state else 0
        self.trained = state["trained"] if state else 0
        self.dropped: Counter[str] = Counter(state["dropped"] if state else {})
        self._in_flight: dict[str, None] = dict.fromkeys(state["in_flight"] if state else ())
        self.reissued = 0
        """Number of groups issued again in this process."""
        self.check()

    @property
    def in_flight(self) -> tuple[str, ...]:
        """Ids of groups without an end yet, oldest first."""
        return tuple(self._in_flight)

    def issue(self, group_id: str) -> None:
        assert group_id not in self._in_flight, f"{group_id} is in flight already"
        self.issued += 1
        self._in_flight[group_id] = None

    def train(self, group_ids: Iterable[str]) -> None:
        """Note that the groups were part of an optimizer step."""
        for group_id in group_ids:
            self._end(group_id)
            self.trained += 1

    def reissue(self, group_id: str) -> None:
        """Issue a group again under its old name, because it was lost with its worker or is too old for a learner that
        went back."""
        assert group_id in self._in_flight, f"{group_id} is not in flight"
        self.reissued += 1

    def drop(self, group_id: str, reason: str) -> None:
        """Note that the group will never be trained on."""
        self._end(group_id)
        self.dropped[reason] += 1

    def go_back(self, state: LedgerState | None, issued_since: Iterable[str]) -> list[str]:
        """Undo every end since a checkpoint, or since the start. Returns the groups whose end was undone; they are in
        flight again.

        Args:
            issued_since: the groups that were issued after the checkpoint.
        """
        before = state["in_flight"] if state else ()
        again = [group_id for group_id in (*before, *issued_since) if group_id not in self._in_flight]
        self._in_flight = dict.fromkeys(again) | self._in_flight
        self.trained, self.dropped = (state["trained"], Counter(state["dropped"])) if state else (0, Counter())
        self.reissued += len(again)
        self.check()
        return again

    def _end(self, group_id: str) -> None:
        assert group_id in self._in_flight, f"{group_id} is not in flight"
        del self._in_flight[group_id]

    def check(self) -> None:
        """Assert that the counts add up."""
        ends = self.trained + self.dropped.total()
        assert self.issued == ends + len(self._in_flight), (
            f"{self.issued} issued, but {self.trained} trained, {self.dropped.total()} dropped and "
            f"{len(self._in_flight)} in flight"
        )

    def state(self) -> LedgerState:
        return LedgerState(
            issued=self.issued, trained=self.trained, dropped=dict(self.dropped), in_flight=list(self._in_flight)
        )

    def metrics(self) -> dict[str, float]:
        """Return ``ledger/*`` of metrics.jsonl."""
        by_reason = {f"ledger/dropped/{reason}": float(count) for reason, count in sorted(self.dropped.items())}
        return {
            "ledger/issued": float(self.issued),
            "ledger/trained": float(self.trained),
            "ledger/dropped": float(self.dropped.total()),
            "ledger/in_flight": float(len(self._in_flight)),
            "ledger/reissued": float(self.reissued),
            **by_reason,
        }
