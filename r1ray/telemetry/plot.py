"""curves.png: the paper's Figures 2 and 3 of one run, and why they look as they do."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from r1ray.telemetry.metrics import reward_parts


def _series(rows: Sequence[dict[str, float]], name: str) -> tuple[list[float], list[float]]:
    points = [(row["step"], row[name]) for row in rows if name in row]
    return [step for step, _ in points], [value for _, value in points]


def plot_curves(rows: Sequence[dict[str, float]], path: Path, *, title: str) -> None:
    """Held-out pass@1 and cons@k; mean response length; the parts of the reward. One panel each."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, (accuracy, length, parts) = plt.subplots(1, 3, figsize=(15, 4.2), constrained_layout=True)
    names = sorted({name for row in rows for name in row})
    for name in names:
        if name.startswith("eval/") and (name.endswith("/pass@1") or "/cons@" in name):
            steps, values = _series(rows, name)
            line = "o-" if name.endswith("/pass@1") else "s--" if len(steps) > 2 else "D"  # two points are no curve
            accuracy.plot(steps, values, line, markersize=4, label=name.split("/", 2)[2])
    accuracy.set(title="held-out accuracy", xlabel="step", ylim=(0, 1.03))
    length.plot(*_series(rows, "completion/length_mean"), linewidth=1, label="rollouts (T = 1)")
    for name in names:
        if name.startswith("eval/") and name.endswith("/length_mean"):
            length.plot(*_series(rows, name), "o-", markersize=4, label="held-out")
    length.set(title="mean response length (tokens)", xlabel="step")
    length.set_ylim(bottom=0)
    for name in reward_parts(names):
        parts.plot(*_series(rows, name), linewidth=1, label=name.removeprefix("reward/"))
    parts.set(title="parts of the reward, and other shares, in rollouts", xlabel="step")
    for axes in (accuracy, length, parts):
        axes.grid(alpha=0.3)
        axes.legend(fontsize=8)
    figure.suptitle(title)
    figure.savefig(path, dpi=130)
    plt.close(figure)
