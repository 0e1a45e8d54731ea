"""curves.png: the paper's Figures 2 and 3 of one run, why they look as they do, and its "aha moment"."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from r1ray.telemetry.metrics import reward_parts

ACCURACY, LENGTH = "held-out accuracy", "mean response length (tokens)"
PARTS, REFLECTION = "parts of the reward, and other shares, in rollouts", "re-evaluation in rollouts"
_ACCURACIES = re.compile(r"eval/(?:(?P<benchmark>.+)/)?(?P<metric>pass@1|cons@\d+)")
Row = Mapping[str, Any]


def panels(reflection: Sequence[Row] = ()) -> list[str]:
    """Titles of the panels. That of re-evaluation is left out where none was ever found."""
    return [ACCURACY, LENGTH, PARTS, *([REFLECTION] if any(row["share"] for row in reflection) else [])]


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
    """Held-out pass@1 with its 95 % interval and cons@k; mean response length; the parts of the reward; the share of
    completions that re-evaluate, of ``reflection`` (:func:`r1ray.telemetry.rollouts.reflection_rows`)."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    titles = panels(reflection)
    grid, size = ((2, 2), (11, 8.4)) if len(titles) == 4 else ((1, 3), (15, 4.2))
    figure, every = plt.subplots(*grid, figsize=size, constrained_layout=True)
    draw = {ACCURACY: _draw_accuracy, LENGTH: _draw_length, PARTS: _draw_parts}
    for name, axes in zip(titles, every.flat, strict=True):
        axes.set(title=name, xlabel="step")
        axes.grid(alpha=0.3)
        if name == REFLECTION:
            _draw_reflection(axes, reflection)
        else:
            draw[name](axes, rows)
    figure.suptitle(title)
    figure.savefig(path, dpi=130)
    plt.close(figure)


def _names(rows: Sequence[Row]) -> list[str]:
    return sorted({name for row in rows for name in row})


def _draw_accuracy(axes: Any, rows: Sequence[Row]) -> None:
    matches = [match for match in map(_ACCURACIES.fullmatch, _names(rows)) if match]
    found = sorted(matches, key=lambda match: match["metric"] != "pass@1")
    is_one = len({match["benchmark"] for match in found}) == 1
    for match in found:
        steps, values = series(rows, match[0])
        label = match["metric"] if is_one else f"{match['benchmark'] or 'all'} {match['metric']}"
        line = "o-" if match["metric"] == "pass@1" else "s--" if len(steps) > 2 else "D"  # two points are no curve
        (drawn,) = axes.plot(steps, values, line, markersize=4, label=label)
        axes.vlines(*series(rows, f"{match[0]}_low", f"{match[0]}_high"), color=drawn.get_color(), alpha=0.5)
    axes.set_ylim(0, 1.03)
    _legend(axes)


def _draw_length(axes: Any, rows: Sequence[Row]) -> None:
    axes.plot(*series(rows, "completion/length_mean"), linewidth=1, label="rollouts (T = 1)")
    for name in _names(rows):
        if name.startswith("eval/") and name.endswith("/length_mean"):
            group = name.removeprefix("eval/").rpartition("/")[0]
            axes.plot(*series(rows, name), "o-", markersize=4, label=f"held-out {group}".rstrip())
    axes.set_ylim(bottom=0)
    _legend(axes)


def _draw_parts(axes: Any, rows: Sequence[Row]) -> None:
    for name in reward_parts(_names(rows)):
        axes.plot(*series(rows, name), linewidth=1, label=name.removeprefix("reward/"))
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
