"""KL penalty in the reward (REINFORCE, RLOO, PPO for language models) instead of in the objective."""

from __future__ import annotations

from collections.abc import Sequence

from r1ray.algo.advantage import step_advantages


def kl_advantages(kl_of_rows: Sequence[tuple[str, float]], *, baseline: str) -> list[float]:
    """Return the advantage that each row would have if its reward were its KL.

    Args:
        kl_of_rows: for each row of the step that is in the loss, on any rank, the name of its group and the sum of its
            tokens' KL.
        baseline: as in :func:`r1ray.algo.advantage.step_advantages`.

    >>> kl_advantages([("a", 1.0), ("b", 5.0), ("a", 4.0)], baseline="leave_one_out")
    [-3.0, 0.0, 3.0]
    """
    if not kl_of_rows:
        return []
    groups: dict[str, list[float]] = {}
    for group, kl in kl_of_rows:
        groups.setdefault(group, []).append(kl)
    lengths = [[1] * len(values) for values in groups.values()]
    advantages = step_advantages(list(groups.values()), lengths, baseline=baseline, std="none", epsilon=0.0)
    by_group = {group: iter(values) for group, values in zip(groups, advantages, strict=True)}
    return [float(next(by_group[group]) or 0.0) for group, _ in kl_of_rows]
