"""Admission: the choice of ready groups for each step, so that no group ever gets too old to be trained on.

A group that began at version s may be trained on at versions s .. s + max_staleness. Each version is made by one step,
which takes ``size`` groups. If steps took the groups that are ready first, slow groups would pile up until the steps
left for their age could not hold them all. A step therefore takes the oldest ready groups, and waits if even that
would leave too many.
"""

from __future__ import annotations

from collections import Counter, defaultdict


class Admission:
    """Counts groups by the version at which they began. The cost of an arrival grows with the number of versions under
    way."""

    def __init__(self, *, max_staleness: int, size: int, surplus: int = 0) -> None:
        """
        Args:
            size: groups of a step.
            surplus: groups issued beyond those that steps take; this many of the slowest are left behind.
        """
        self._max_staleness, self._size, self._surplus = max_staleness, size, surplus
        self._began_at: dict[str, int] = {}
        self._outstanding: Counter[int] = Counter()
        self._ready: dict[int, dict[str, None]] = {}  # by version, in the order in which they became ready
        self._num_ready = 0

    def __len__(self) -> int:
        """Return the number of groups under way or ready."""
        return len(self._began_at)

    def begin(self, group_id: str, version: int) -> None:
        """Note that a group begins, or begins again, under ``version``."""
        self.end(group_id)
        self._began_at[group_id] = version
        self._outstanding[version] += 1

    def ready(self, group_id: str) -> None:
        """Note that a group is ready to be trained on."""
        self._ready.setdefault(self._began_at[group_id], {})[group_id] = None
        self._num_ready += 1

    def end(self, group_id: str) -> None:
        """Note that a group was trained on or dropped, or begins again."""
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
            count: number of groups; None: as many as a whole step takes.
            later: number of groups that the same step takes after these.

        After the step, for every j, at most j * size + surplus outstanding groups may have begun at or before version
        ``version - max_staleness + j``: the next j steps take j * size, and the surplus is left behind. At most
        (max_staleness + 1) * size + surplus groups are ever outstanding, so waiting always ends.
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
        """Return the groups that steps from ``version`` on cannot take in time, after versions passed without a step:
        groups that are too old, and of each age those in excess of what the remaining steps can take."""
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
        """Return the groups that are too old for a step at ``version``."""
        oldest = version - self._max_staleness
        if all(began >= oldest for began in self._outstanding):
            return []
        return [group_id for group_id, began in self._began_at.items() if began < oldest]
