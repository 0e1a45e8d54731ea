"""curves.png: the paper's Figures 2 and 3 of one run, why they look as they do, and its "aha moment"."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from r1ray.telemetry.live import RECENT
from r1ray.telemetry.metrics import reward_parts

ACCURACY, LENGTH, REWARD = "held-out answers", "mean response length (tokens)", "reward in training"
UNIFORM, ENTROPY = "groups that teach nothing", "entropy of a token (nats)"
KL, REFLECTION, CALLS = "KL of a token (nats)", "re-evaluation in rollouts", "tool calls of a trajectory"
NEEDS = {UNIFORM: ("group/uniform_rate",), ENTROPY: ("entropy",), KL: ("kl/ref", "teacher/kl", "mismatch/kl")}
"""Metrics of which a panel needs one."""
CALLED = "trajectory/tool_calls_mean"
_ACCURACIES = re.compile(r"eval/(?:(?P<benchmark>.+)/)?(?P<metric>pass@1|cons@\d+)")
Row = Mapping[str, Any]


def panels(rows: Sequence[Row], reflection: Sequence[Row] = ()) -> list[str]:
    """Return the titles of the panels. Those are left out of which nothing was measured, or found."""
    measured = set(_names(rows))
    found = [title for title, names in NEEDS.items() if measured & set(names)]
    calls = [CALLS] if any(row.get(CALLED) for row in rows) else []
    return [
        ACCURACY,
        LENGTH,
        REWARD,
        *calls,
        *found,
        *([REFLECTION] if any(row["share"] for row in reflection) else []),
    ]


def recent_means(values: Sequence[float]) -> list[float]:
    """Return of each value the mean of the last :data:`RECENT` up to it.

    >>> recent_means([1.0, 0.0, 0.0, 0.0, 0.0, 0.0])
    [1.0, 0.5, 0.3333333333333333, 0.25, 0.2, 0.0]
    """
    ends = range(1, len(values) + 1)
    return [sum(values[max(0, end - RECENT) : end]) / min(end, RECENT) for end in ends]


def series(rows: Sequence[Row], *names: str) -> list[list[float]]:
    """Steps and metrics of the rows that have all of them; those of an evaluation by the version that was evaluated."""
    by = "policy_version" if names[0].startswith("eval/") else "step"
    points = sorted(
        [row.get(by, row["step"]), *(row[name] for name in names)]
        for row in rows
        if all(row.get(name) is not None for name in names)
    )
    return [[point[column] for point in points] for column in range(1 + len(names))]


def plot_curves(rows: Sequence[Row], path: Path, *, title: str, reflection: Sequence[Row] = ()) -> None:
    """Draw a run as a PNG, whatever the file is called: held-out pass@1 with its 95 % interval and cons@k; mean
    response length; the reward and its parts; uniform groups, entropy and KL; the share of completions that
    re-evaluate, of ``reflection`` (:func:`r1ray.telemetry.rollouts.reflection_rows`)."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    titles = panels(rows, reflection)
    columns = 4 if len(titles) > 6 else 3
    num_rows = -(-len(titles) // columns)
    figure, every = plt.subplots(num_rows, columns, figsize=(5 * columns, 4.2 * num_rows), constrained_layout=True)
    for axes in every.flat[len(titles) :]:
        axes.set_axis_off()
    draw = {
        **{ACCURACY: _draw_accuracy, LENGTH: _draw_length, REWARD: _draw_reward},
        **{CALLS: _draw_calls, UNIFORM: _draw_uniform, ENTROPY: _draw_entropy, KL: _draw_kl},
    }
    for name, axes in zip(titles, every.flat, strict=False):
        axes.set(title=name, xlabel="step")
        axes.grid(alpha=0.3)
        if name == REFLECTION:
            _draw_reflection(axes, reflection)
        else:
            draw[name](axes, rows)
    figure.suptitle(title)
    figure.savefig(path, dpi=130, format="png")
    plt.close(figure)


def _names(rows: Sequence[Row]) -> list[str]:
    return sorted({name for row in rows for name in row})


def _draw_accuracy(axes: Any, rows: Sequence[Row]) -> None:
    matches = [match for match in map(_ACCURACIES.fullmatch, _names(rows)) if match]
    found = sorted(matches, key=lambda match: match["metric"] != "pass@1")
    is_one = len({match["benchmark"] for match in found}) == 1
    for match in found:
        steps, values = series(rows, match[0])
        label = _meaning(match["metric"]) if is_one else f"{match['benchmark'] or 'all'}: {_meaning(match['metric'])}"
        line = "o-" if match["metric"] == "pass@1" else "s--" if len(steps) > 2 else "D"  # two points are no curve
        (drawn,) = axes.plot(steps, values, line, markersize=4, label=label)
        axes.vlines(*series(rows, f"{match[0]}_low", f"{match[0]}_high"), color=drawn.get_color(), alpha=0.5)
    axes.set_ylim(0, 1.03)
    _legend(axes)


def _meaning(metric: str) -> str:
    """Return a name for the legend that says what it is.

    >>> _meaning("cons@16")
    'cons@16: right by a vote of 16 answers'
    """
    if metric == "pass@1":
        return "pass@1: share that is right (bar: 95 %)"
    return f"{metric}: right by a vote of {metric.partition('@')[2]} answers"


def _draw_length(axes: Any, rows: Sequence[Row]) -> None:
    _draw_with_held_out(axes, rows, "completion/length_mean", held_out="/length_mean")


def _draw_calls(axes: Any, rows: Sequence[Row]) -> None:
    _draw_with_held_out(axes, rows, CALLED, held_out="/tool_calls_mean")


def _draw_with_held_out(axes: Any, rows: Sequence[Row], trained: str, *, held_out: str) -> None:
    """Draw a mean of the training steps, and those of evaluations, whose names end with ``held_out``."""
    axes.plot(*series(rows, trained), linewidth=1, label="in training")
    for name in _names(rows):
        if name.startswith("eval/") and name.endswith(held_out):
            group = name.removeprefix("eval/").rpartition("/")[0]
            axes.plot(*series(rows, name), "o-", markersize=4, label=f"held-out {group}".rstrip())
    axes.set_ylim(bottom=0)
    _legend(axes)


def _draw_reward(axes: Any, rows: Sequence[Row]) -> None:
    steps, totals = series(rows, "reward/mean")
    axes.plot(steps, totals, linewidth=0.7, color="0.6", label="total, each step")
    axes.plot(steps, recent_means(totals), linewidth=2, color="black", label=f"total, mean of {RECENT} steps")
    for name in reward_parts(_names(rows)):
        steps, values = series(rows, name)
        axes.plot(steps, recent_means(values), linewidth=1, label=f"{name.removeprefix('reward/')} (of {RECENT})")
    _legend(axes)


def _draw_uniform(axes: Any, rows: Sequence[Row]) -> None:
    axes.plot(*series(rows, "group/uniform_rate"), linewidth=1, label="share of groups with equal rewards")
    axes.set_ylim(-0.03, 1.03)
    _legend(axes)


def _draw_entropy(axes: Any, rows: Sequence[Row]) -> None:
    axes.plot(*series(rows, "entropy"), linewidth=1, label="near 0: the policy says one thing only")
    axes.set_ylim(bottom=0)
    _legend(axes)


def _draw_kl(axes: Any, rows: Sequence[Row]) -> None:
    labels = {
        "kl/ref": "policy against reference",
        "teacher/kl": "student against teacher",
        "mismatch/kl": "learner against engine: near 0",
    }
    measured = _names(rows)
    for name in (each for each in labels if each in measured):
        axes.plot(*series(rows, name), linewidth=1, label=labels[name])
    _legend(axes)


def _draw_reflection(axes: Any, rows: Sequence[Row]) -> None:
    beside = axes.twinx()
    beside.plot(*series(rows, "per_1k_tokens"), color="0.75", linewidth=1, label="per 1k tokens")
    beside.set(ylabel="phrases per 1k tokens")
    beside.set_ylim(bottom=0)
    is_judged = any(row["share_right"] is not None or row["share_wrong"] is not None for row in rows)
    shares = {"share_right": ("right", "C2"), "share_wrong": ("wrong", "C3")} if is_judged else {"share": ("all", "C0")}
    for name, (label, color) in shares.items():
        axes.plot(*series(rows, name), color=color, linewidth=1, label=f"share, {label}")
    axes.set(ylabel="share of completions with a phrase")
    axes.set_ylim(bottom=0)
    axes.set_zorder(beside.get_zorder() + 1)  # shares lie above, so the ground has to be clear
    axes.patch.set_visible(False)
    _legend(beside, axes)


def _legend(*axes: Any) -> None:
    """One for all that lie upon each other."""
    lines = [line for one in axes for line in one.get_lines() if len(line.get_xdata())]
    if lines:
        axes[-1].legend(handles=lines, fontsize=8)
