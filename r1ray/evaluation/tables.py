"""What ``r1ray eval`` prints: figures as a person reads them."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table

from r1ray.evaluation.figures import ModelComparison

WIDTH = 120
MAX_GROUPS = 12
WHOLE = ("generated_tokens", "unscored")


def figures_table(title: str, figures: Mapping[str, Mapping[str, Any]]) -> str:
    """One row a figure: its value, and both 95 % intervals where it has them."""
    table = Table()
    for column in ("figure", "value", "95 % over questions", "95 % over samples"):
        table.add_column(column, justify="left" if column == "figure" else "right")
    for name, figure in figures.items():
        table.add_row(
            name,
            _number(name, figure["value"]),
            _interval(name, figure["over_questions"]),
            _interval(name, figure["over_samples"]),
        )
    return f"{title}\n{_text(table)}"


def groups_line(key: str, means: Mapping[str, Any]) -> str:
    """Means of groups: the first few, and the mean of all groups' means."""
    shown = list(means["by_group"].items())[:MAX_GROUPS]
    more = len(means["by_group"]) - len(shown)
    listed = ", ".join(f"{name} {value:.3f}" for name, value in shown) + (f", and {more} more" if more else "")
    return f"  pass@1 by {key}, mean of {len(means['by_group'])} groups {means['macro']:.3f}: {listed}"


def search_table(title: str, rows: Sequence[Mapping[str, Any]]) -> str:
    """One row a method, and how it differs from the majority vote of plain sampling."""
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


def stages_table(evaluated: Mapping[str, Mapping[str, float]]) -> str:
    """One row an evaluation, by the name of its stage; pass@1 with its interval."""
    names = [name for figures in evaluated.values() for name in figures]
    columns = [n for n in dict.fromkeys(names) if not n.endswith(("_low", "_high", "/tie_rate", "_tokens"))]
    table = Table()
    for column in ("after", *columns):
        table.add_column(column.removeprefix("part/"), justify="left" if column == "after" else "right")
    for stage, figures in evaluated.items():
        cells = [_number(name, figures[name]) if name in figures else "" for name in columns]
        for index, name in enumerate(columns):
            if name == "pass@1" and f"{name}_low" in figures:
                cells[index] += f" ({figures[f'{name}_low']:.2f} .. {figures[f'{name}_high']:.2f})"
        table.add_row(stage.removeprefix("eval_"), *cells)
    return _text(table)


def comparison_line(title: str, compared: ModelComparison) -> str:
    """Two models on the same questions."""
    paired = compared.comparison
    left_out = f"; {compared.num_left_out} questions left out" if compared.num_left_out else ""
    return (
        f"{title}, model minus against: {paired.difference.value:+.3f} (95 % {paired.difference.low:+.3f} .. "
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
