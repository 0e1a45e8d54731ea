from __future__ import annotations

from pathlib import Path

import pytest
from matplotlib.figure import Figure

from r1ray.telemetry.plot import (
    ACCURACY,
    CALLS,
    ENTROPY,
    KL,
    LENGTH,
    REFLECTION,
    REWARD,
    UNIFORM,
    _draw_calls,
    panels,
    plot_curves,
    series,
)

EVAL = "eval/heldout/pass@1"
ROWS = [
    {"step": 0, "policy_version": 0, EVAL: 0.1, f"{EVAL}_low": 0.0, f"{EVAL}_high": 0.3, "eval/heldout/cons@4": 0.2},
    {"step": 1, "policy_version": 1, "reward/accuracy": 0.2, "completion/length_mean": 10.0},
    {"step": 2, "policy_version": 2, "reward/accuracy": 0.3, "completion/length_mean": 12.0},
    {"step": 1, "policy_version": 1, EVAL: 0.4, "eval/heldout/length_mean": 11.0},
]
FOUND = {"step": 1, "share": 0.2, "share_right": 0.3, "share_wrong": None, "per_1k_tokens": 0.5}
NONE = {"step": 2, "share": 0.0, "share_right": 0.0, "share_wrong": 0.0, "per_1k_tokens": 0.0}


def test_re_evaluation_has_a_panel_where_any_was_found() -> None:
    assert panels([]) == panels([], [NONE, NONE]) == [ACCURACY, LENGTH, REWARD]
    assert panels([], [NONE, FOUND]) == [ACCURACY, LENGTH, REWARD, REFLECTION]


def test_tool_calls_have_a_panel_where_any_was_made() -> None:
    none = {"step": 1, "trajectory/tool_calls_mean": 0.0}
    assert panels([none]) == [ACCURACY, LENGTH, REWARD]
    assert panels([none, none | {"trajectory/tool_calls_mean": 0.1}]) == [ACCURACY, LENGTH, REWARD, CALLS]


def test_calls_of_evaluations_are_drawn_beside_those_of_training() -> None:
    axes = Figure().subplots()
    rows = [{"step": 1, "policy_version": 1, "trajectory/tool_calls_mean": 0.1, "eval/heldout/tool_calls_mean": 0.2}]
    _draw_calls(axes, rows)
    assert {line.get_label(): list(line.get_ydata()) for line in axes.lines} == {
        "in training": [0.1],
        "held-out heldout": [0.2],
    }


def test_metrics_that_were_measured_have_a_panel() -> None:
    assert panels([{"step": 1, "entropy": 0.5, "mismatch/kl": 0.0}]) == [ACCURACY, LENGTH, REWARD, ENTROPY, KL]
    assert UNIFORM in panels([{"step": 1}, {"step": 2, "group/uniform_rate": 1.0}])


def test_an_evaluation_that_ended_later_is_a_point_of_its_own_at_its_version() -> None:
    assert series(ROWS, EVAL) == [[0, 1], [0.1, 0.4]]
    assert series([{"step": 5, "policy_version": 3, EVAL: 0.5}], EVAL) == [[3], [0.5]]
    assert series(ROWS, "reward/accuracy") == [[1, 2], [0.2, 0.3]]


def test_only_rows_with_all_metrics_are_points() -> None:
    assert series(ROWS, f"{EVAL}_low", f"{EVAL}_high") == [[0], [0.0], [0.3]]
    assert series([FOUND, NONE], "share_wrong") == [[2], [0.0]]
    assert series(ROWS, "no/such") == [[], []]


@pytest.mark.parametrize(
    ("rows", "reflection"),
    [
        (ROWS, []),
        (ROWS[1:3], [FOUND, NONE]),
        ([*ROWS, {"step": 3, "policy_version": 3, "eval/other/pass@1": 0.5}], [FOUND | {"share_right": None}]),
        (
            [{**row, "entropy": 0.5, "kl/ref": 0.1, "group/uniform_rate": 1.0, "reward/mean": 0.5} for row in ROWS],
            [FOUND],
        ),
        ([{**row, "trajectory/tool_calls_mean": 0.5, "eval/heldout/tool_calls_mean": 0.5} for row in ROWS], []),
        ([], []),
    ],
)
def test_the_curves_are_a_png(
    tmp_path: Path, rows: list[dict[str, float]], reflection: list[dict[str, float | None]]
) -> None:
    path = tmp_path / "curves.png"
    plot_curves(rows, path, title="a run", reflection=reflection)
    assert path.read_bytes().startswith(b"\x89PNG\r\n")
