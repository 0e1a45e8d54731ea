"""Which ready groups a step takes, so that no group ever gets too old to be trained on.

A group that began at version s may be trained on at versions s .. s + max_staleness. Steps come one a version and take
``size`` groups each. Taking whichever groups are ready first would leave slow ones behind until there are more of one
age than the steps that are left for them can hold; a step therefore takes the oldest ready groups, and waits where
even those would leave too many.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence


def choose_batch(
    ready: Sequence[str], started_at: Mapping[str, int], *, version: int, max_staleness: int, size: int
) -> list[str] | None:
    """The groups to train on at ``version``, None where the step has to wait for more.

    Args:
        ready: names of finished groups, in the order in which they finished.
        started_at: version at which each outstanding group began, ready or not.

    After the step, for every j, at most j * size outstanding groups may have begun at or before version
    ``version - max_staleness + j``: those are what the next j steps can still take. There are never more than
    (max_staleness + 1) * size groups outstanding, so that waiting always ends.
    """
    if len(ready) < size:
        return None
    batch = sorted(ready, key=lambda name: started_at[name])[:size]
    for ahead in range(max_staleness + 1):
        limit = version - max_staleness + ahead
        outstanding = sum(start <= limit for start in started_at.values())
        taken = sum(started_at[name] <= limit for name in batch)
        if outstanding - taken > ahead * size:
            return None
    return batch
