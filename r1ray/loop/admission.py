"""Admission: which ready groups a step takes, so that no group ever gets too old to be trained on.

A group that began at version s may be trained on at versions s .. s + max_staleness. Steps come one a version and take
``size`` groups each. Taking whichever groups are ready first would leave slow ones behind until there are more of one
age than the steps that are left for them can hold; a step therefore takes the oldest ready groups, and waits where
even those would leave too many.
"""

from __future__ import annotations

from collections import Counter, defaultdict


class Admission:
    """Counts groups by the version that they began at. An arrival costs as much as there are versions under way."""

    def __init__(self, *, max_staleness: int, size: int, surplus: int = 0) -> None:
        """
        Args:
            size: groups of a step.
            surplus: groups that are issued beyond what steps take: so many of the slowest are left behind.
        """
        self._max_staleness, self._size, self._surplus = max_staleness, size, surplus
        self._began_at: dict[str, int] = {}
        self._outstanding: Counter[int] = Counter()
        self._ready: dict[int, dict[str, None]] = {}  # by version, in the order in which they became ready
        self._num_ready = 0

    def __len__(self) -> int:
        """Groups under way or ready."""
        return len(self._began_at)

    def begin(self, group_id: str, version: int) -> None:
        """A group begins, or begins anew, under ``version``."""
        self.end(group_id)
        self._began_at[group_id] = version
        self._outstanding[version] += 1

    def ready(self, group_id: str) -> None:
        """A group is ready to be trained on."""
        self._ready.setdefault(self._began_at[group_id], {})[group_id] = None
        self._num_ready += 1

    def end(self, group_id: str) -> None:
        """A group was trained on, dropped, or begins anew."""
        version = self._began_at.pop(group_id, None)
        if version is None:
            return
        self._outstanding[version] -= 1
        if not self._outstanding[version]:
            del self._outstanding[version]
        if group_id in (at_version := self._ready.get(version, {})):
            del at_version[group_id]
            self._num_ready -= 1
            if not at_version:
                del self._ready[version]

    def choose(self, version: int, *, count: int | None = None, later: int = 0) -> list[str] | None:
        """Return the oldest ready groups to train on at ``version``; None if the step has to wait for more.

        Args:
            count: how many; None: those of a whole step.
            later: groups that the same step takes after these.

        After the step, for every j, at most j * size outstanding groups may have begun at or before version
        ``version - max_staleness + j``, and the surplus: those are what the next j steps can still take. There are
        never more than (max_staleness + 1) * size groups outstanding, and the surplus, so that waiting always ends.
        """
        count = self._size if count is None else count
        if self._num_ready < count:
            return None
        taken, left = Counter[int](), count
        for began in sorted(self._ready):
            taken[began] = min(left, len(self._ready[began]))
            left -= taken[began]
        for ahead in range(self._max_staleness + 1):
            limit = version - self._max_staleness + ahead
            remaining = sum(n - taken[began] for began, n in self._outstanding.items() if began <= limit)
            if remaining > ahead * self._size + later + self._surplus:
                return None
        oldest = (name for began in sorted(self._ready) for name in self._ready[began])
        return [name for name, _ in zip(oldest, range(count), strict=False)]

    def unfit(self, version: int) -> list[str]:
        """Return the groups that steps from ``version`` on cannot take in time, where versions were passed over without
        a step: those that are too old, and of every age what is more than the steps hold that are left for it."""
        by_version: defaultdict[int, list[str]] = defaultdict(list)
        for group_id, began in self._began_at.items():
            by_version[began].append(group_id)
        kept, unfit = 0, list[str]()
        for began, names in sorted(by_version.items()):
            num_steps = began - (version - self._max_staleness) + 1
            room = max(0, num_steps * self._size + self._surplus - kept) if num_steps > 0 else 0
            ready = self._ready.get(began, {})
            names.sort(key=lambda name: name not in ready)
            unfit += names[room:]
            kept += min(room, len(names))
        return unfit

    def too_old(self, version: int) -> list[str]:
        """Return the groups that a step at ``version`` can train on no more."""
        oldest = version - self._max_staleness
        if all(began >= oldest for began in self._outstanding):
            return []
        return [group_id for group_id, began in self._began_at.items() if began < oldest]
