"""Removals: trajectories that were generated but not trained on, by reason.

Removing the slowest, the oldest or the longest outputs teaches a policy to be short. Removals are therefore counted
with their lengths, and a warning is logged if they exceed a share of a step. Groups that remain when a run ends have no
such effect.
"""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Sequence

from r1ray.types import ScoredGroup

logger = logging.getLogger(__name__)
WARN_RATE = 0.02
BY_LENGTH = ("stale", "surplus", "stopped", "late")
"""Reasons for removing a whole group that had a learning signal."""
AT_THE_END = "stopped"


class Removals:
    """Lengths of the trajectories removed since the last step."""

    def __init__(self) -> None:
        self._lengths: defaultdict[str, list[int]] = defaultdict(list)
        self._warned: set[str] = set()

    def note_group(self, group: ScoredGroup, reason: str) -> None:
        """Count a group that is not trained on. If it is uniform or cannot be scored, only the trajectories that its
        worker removed count."""
        self.note(group)
        if reason in BY_LENGTH:
            self._lengths[reason] += [each.num_policy_tokens for each in group.trajectories]

    def note(self, group: ScoredGroup) -> None:
        """Count the trajectories that are missing in a group."""
        for each in group.removed:
            self._lengths[each.reason].append(each.num_policy_tokens)

    def forget(self) -> None:
        """Restart the counts of the step."""
        self._lengths.clear()

    def metrics(self, trained: Sequence[ScoredGroup], *, mask_truncated: bool) -> dict[str, float]:
        """Return ``removed/<reason>_rate`` and ``_length_mean`` of a step, and begin the next.

        Args:
            trained: the groups of the step. A rate is relative to their trajectories and all removed ones.
            mask_truncated: outputs at the length limit are not in the loss.
        """
        for group in trained:
            self.note(group)
        if mask_truncated:
            cut = [each for group in trained for each in group.trajectories if each.status == "truncated"]
            self._lengths["truncated"] += [each.num_policy_tokens for each in cut]
        lengths, self._lengths = {reason: each for reason, each in self._lengths.items() if each}, defaultdict(list)
        kept = sum(len(group.trajectories) for group in trained) - len(lengths.get("truncated", ()))
        total = max(1, kept + sum(map(len, lengths.values())))
        metrics = {}
        for reason, each in sorted(lengths.items()):
            metrics[f"removed/{reason}_rate"] = len(each) / total
            metrics[f"removed/{reason}_length_mean"] = sum(each) / len(each)
            if len(each) / total > WARN_RATE and reason not in self._warned and reason != AT_THE_END:
                self._warned.add(reason)
                logger.warning(
                    "%.0f %% of the step's trajectories were removed (%s), with %.0f tokens in the mean; those that "
                    "were trained on have %.0f. What removes long outputs teaches a policy to be short.",
                    *(100 * len(each) / total, reason, sum(each) / len(each), _mean_length(trained)),
                )
        return metrics


def _mean_length(groups: Sequence[ScoredGroup]) -> float:
    lengths = [each.num_policy_tokens for group in groups for each in group.trajectories]
    return sum(lengths) / max(1, len(lengths))
