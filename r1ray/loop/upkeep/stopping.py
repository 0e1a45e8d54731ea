"""Convergence of training (paper section 2.3.2: "until it achieves convergence"): a metric has stopped rising."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from r1ray.config import StopConfig


def has_plateaued(rows: Sequence[Mapping[str, float]], config: StopConfig, *, step: int) -> bool:
    """Return whether the rows of metrics.jsonl up to a step show a plateau: ``patience`` times in a row, the mean of
    the last ``window`` metrics was not ``min_gain`` above the mean of the ``window`` before them.

    Args:
        rows: lines in the order of their steps; those without the metric are skipped.
        step: the last step that counts; later rows are ignored.
    """
    if not config.window or step < config.after:
        return False
    values = [row[config.metric] for row in rows if config.metric in row and row["step"] <= step]
    ends = range(len(values), len(values) - config.patience, -1)
    return all(_gain(values[:end], config.window) < config.min_gain for end in ends)


def _gain(values: Sequence[float], window: int) -> float:
    """Return the gain of the last window over the one before; infinite if there are not enough metrics."""
    if len(values) < 2 * window:
        return float("inf")
    return (sum(values[-window:]) - sum(values[-2 * window : -window])) / window
