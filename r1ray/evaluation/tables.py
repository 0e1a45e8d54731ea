"""Tables that ``r1ray eval`` prints for people."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rich.console import Console
from rich.table import Table

from r1ray.evaluation.effects import BEFORE, CHANGE, EFFECT, Effect
from r1ray.evaluation.summary import PART, ModelComparison

WIDTH = 120
MAX_GROUPS = 12
WHOLE = ("generated_tokens", "unscored", "steps", "num_added")


@dataclass(frozen=True, slots=True, kw_only=True)
class StageRow:
    """A stage of a recipe that was run or given."""

    name: str
    recipe: str
    metrics: Mapping[str, float]
    seconds: float | None


def metrics_table(title: str, metrics: Mapping[str, Mapping[str, Any]]) -> str:
    """Return a table with one row for each metric: its value, and both 95 % intervals if it has them."""
    table = Table()
    for column in ("metric", "value", "95 % over questions", "95 % over samples"):
        table.add_column(column, justify="left" if column == "metric" else "right")
    for name, metric in metrics.items():
        table.add_row(
            name,
            _number(name, metric["value"]),
            _interval(name, metric["over_questions"]),
            _interval(name, metric["over_samples"]),
        )
    return f"{title}\n{_text(table)}"


def groups_line(key: str, means: Mapping[str, Any]) -> str:
    """Return a line with the means of the first few groups, and the mean of all groups' means."""
    shown = list(means["by_group"].items())[:MAX_GROUPS]
    more = len(means["by_group"]) - len(shown)
    listed = ", ".join(f"{name} {value:.3f}" for name, value in shown) + (f", and {more} more" if more else "")
    return f"  pass@1 by {key}, mean of {len(means['by_group'])} groups {means['macro']:.3f}: {listed}"


def search_table(title: str, rows: Sequence[Mapping[str, Any]]) -> str:
    """Return a table with one row for each method, and its difference from the majority vote of plain sampling."""
    table = Table()
    for column in ("method", "right", "95 %", "minus majority", "p", "answers", "generated", "read"):
        table.add_column(column, justify="left" if column == "method" else "right")
    for row in rows:
        right, against = row["right"], row["against_majority"]
        table.add_row(
            row["method"],
            f"{right['value']:.3f}",
            f"{right['low']:.3f} .. {right['high']:.3f}",
            f"{against['difference']['value']:+.3f}" if against else "",
            f"{against['p_value']:.3f}" if against else "",
            f"{row['num_answers']:.1f}",
            f"{row['generated_tokens']:.0f}",
            f"{row['read_tokens']:.0f}",
        )
    return f"{title}\n{_text(table)}"


def stages_table(rows: Sequence[StageRow]) -> str:
    """Return a table with one row for each stage, in order."""
    table = Table(show_lines=False)
    for column in ("stage", "recipe", "what came out", "seconds"):
        table.add_column(column, justify="right" if column == "seconds" else "left")
    for row in rows:
        seconds = "" if row.seconds is None else f"{row.seconds:.0f}"
        table.add_row(row.name, row.recipe, outcome_of(row.recipe, row.metrics), seconds)
    return _text(table)


def outcome_of(recipe: str, metrics: Mapping[str, float]) -> str:
    """Return the metrics of a stage as a line for people.

    >>> outcome_of("collect", {"num_rows": 5.0, "num_kept": 4.0, "num_samples": 16.0, "removed/wrong": 12.0})
    '4 of 16 samples kept, 5 rows; left out: 12 wrong'
    """
    if recipe == "collect":
        removed = {name.removeprefix("removed/"): n for name, n in metrics.items() if name.startswith("removed/")}
        why = ", ".join(f"{count:.0f} {name}" for name, count in sorted(removed.items(), key=lambda each: -each[1]))
        kept = f"{metrics['num_kept']:.0f} of {metrics['num_samples']:.0f} samples kept, {metrics['num_rows']:.0f} rows"
        return kept + (f"; left out: {why}" if why else "")
    parts = []
    answers = metrics.get("no_answer_rate", 0.0) < 1  # without answers there is no vote
    for name, value in metrics.items():
        if name.endswith(("_low", "_high", "/tie_rate", "_tokens")) or name.startswith((EFFECT, BEFORE, CHANGE)):
            continue
        if (name.endswith("_rate") and not value) or (name.startswith("cons@") and not answers):
            continue
        text = f"{name.removeprefix(PART)} {_number(name, value)}"
        if name == "pass@1" and f"{name}_low" in metrics:
            text += f" ({metrics[f'{name}_low']:.2f} .. {metrics[f'{name}_high']:.2f})"
        parts.append(text)
    return ", ".join(parts)


def effects_table(rows: Sequence[tuple[str, str, Effect]]) -> str:
    """Return a table of the effects of stages on held-out questions: a stage, the stage it is compared with, and an
    effect."""
    table = Table()
    for column in ("stage", "against", "metric", "before", "after", "difference (95 %)", ""):
        table.add_column(column, justify="left" if column in ("stage", "against", "metric", "") else "right")
    for stage, against, effect in rows:
        difference = effect.difference
        table.add_row(
            stage.removeprefix("eval_"),
            against.removeprefix("eval_"),
            effect.metric,
            _number(effect.metric, effect.before),
            _number(effect.metric, effect.after),
            f"{difference.value:+.3f} ({difference.low:+.3f} .. {difference.high:+.3f})",
            effect.verdict,
        )
    return _text(table)


def comparison_line(title: str, compared: ModelComparison) -> str:
    """Return a line that compares two models on the same questions."""
    return f"{title}, model minus against: {_difference(compared)}"


def change_line(compared: ModelComparison) -> str:
    """Return a line that compares a model after training with itself before."""
    return f"pass@1, last minus first evaluation: {_difference(compared)}"


def _difference(compared: ModelComparison) -> str:
    paired = compared.comparison
    left_out = f"; {compared.num_left_out} questions left out" if compared.num_left_out else ""
    return (
        f"{paired.difference.value:+.3f} (95 % {paired.difference.low:+.3f} .. "
        f"{paired.difference.high:+.3f}, p = {paired.p_value:.4f}, paired over {compared.num_questions} questions, "
        f"better on {paired.num_better}, worse on {paired.num_worse}{left_out})"
    )


def _number(name: str, value: float) -> str:
    if name in WHOLE or name.endswith("/left_out"):
        return f"{value:.0f}"
    return f"{value:.1f}" if name in ("length_mean", "rating", "percentile") else f"{value:.3f}"


def _interval(name: str, interval: Sequence[float] | None) -> str:
    return "" if interval is None else f"{_number(name, interval[0])} .. {_number(name, interval[1])}"


def _text(table: Table) -> str:
    out = io.StringIO()
    Console(file=out, width=WIDTH, highlight=False).print(table)
    return out.getvalue().rstrip()
