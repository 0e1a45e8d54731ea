from __future__ import annotations

import math

from r1ray.page.curves import MAX_POINTS, curves_of, rounded


def test_each_metric_is_a_line_over_the_steps_of_training() -> None:
    rows = [{"step": step, "policy_version": step, "time/step_s": 1.0, "kl/ref": 0.1 * step} for step in (1, 2, 3)]
    found = curves_of([{"step": 0, "policy_version": 0, "eval/x/pass@1": 0.25}, *rows])
    assert (found["steps"], found["every"]) == ([1, 2, 3], 1)
    assert found["lines"]["kl/ref"] == {"y": [0.1, 0.2, 0.3]}
    assert found["lines"]["eval/x/pass@1"] == {"x": [0], "y": [0.25]}


def test_numbers_that_are_none_are_gaps() -> None:
    values = (1.0, math.nan, math.inf, None, "text", True)
    rows = [{"step": step, "time/step_s": 1.0, "loss": value} for step, value in enumerate(values)]
    assert curves_of(rows)["lines"]["loss"]["y"] == [1, None, None, None, None, None]


def test_many_steps_are_thinned_on_one_grid_by_their_means() -> None:
    rows = [{"step": step, "time/step_s": 1.0, "a": float(step), "b": 1.0} for step in range(1, 1002)]
    found = curves_of(rows)
    assert found["every"] == 3
    assert len(found["steps"]) == len(found["lines"]["a"]["y"]) == len(found["lines"]["b"]["y"]) <= MAX_POINTS
    assert (found["steps"][0], found["lines"]["a"]["y"][0]) == (3, 2)
    assert (found["steps"][-1], found["lines"]["a"]["y"][-1]) == (1001, 1000.5)


def test_an_empty_run_has_no_lines() -> None:
    assert curves_of([]) == {"steps": [], "every": 1, "lines": {}}


def test_numbers_keep_five_digits() -> None:
    assert (rounded(0.123456789), rounded(3.0), rounded(None)) == (0.12346, 3, None)
