from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

from r1ray.page.packing import json_of
from r1ray.page.trajectories import group_of
from r1ray.telemetry.rollouts import RolloutLog, read_rollouts
from tests.fakes import make_prompt
from tests.page.planted import HOSTILE, segment
from tests.telemetry.test_rollouts import IN_MAZE, RIGHT, lent, record_of, scored, with_a_tool


def group(row: dict[str, Any], *, max_chars: int | None = None) -> dict[str, Any]:
    return group_of([row], part=0, kind="training", suspicions=[None], max_chars=max_chars)


def test_a_token_has_its_length_and_its_difference() -> None:
    row = {"group_id": "0/1", "trajectory": 0, "segments": [segment("one two three", 1)]}
    (found,) = group(row)["trajectories"]
    (shown,) = found["segments"]
    assert shown["lengths"] == [3, 4, 6]
    assert sum(shown["lengths"]) == len(shown["text"])
    assert shown["differences"][0] == 0
    assert len(shown["differences"]) == 3
    assert json.loads(json_of(found)) == found


def test_a_long_text_is_cut_in_its_middle_and_says_so() -> None:
    row = {"group_id": "0/1", "trajectory": 0, "segments": [segment("a" * 50 + "z" * 50, 1)]}
    (shown,) = group(row, max_chars=20)["trajectories"][0]["segments"]
    assert shown["num_cut"] == 80
    assert shown["text"].startswith("a" * 10) and shown["text"].endswith("z" * 10) and "80 characters" in shown["text"]
    assert "lengths" not in shown


def test_a_dropped_group_and_an_old_row_are_shown_as_far_as_they_go() -> None:
    found = group({"group_id": "0/1", "group_status": "dropped", "dropped_reason": "stale"})
    assert found["trajectories"][0]["trajectory"] is None
    old = group({"group_id": "0/1", "trajectory": 0, "response_text": "text"})["trajectories"][0]
    assert [each["text"] for each in old["segments"]] == ["text"]


def test_the_turns_of_a_trajectory_in_an_environment_have_their_roles_and_what_they_were_paid(tmp_path: Path) -> None:
    trajectory = replace(with_a_tool(), world=IN_MAZE)
    record = record_of("0/3", [scored(trajectory, RIGHT)], (0.5,), prompt=replace(make_prompt(), environment="maze"))
    RolloutLog(tmp_path).write(1, [record], lent(trajectory))
    shown = group(dict(next(read_rollouts(tmp_path))))
    assert shown["environment"] == "maze"
    (one,) = shown["trajectories"]
    turns = [(each["kind"], each["role"], each["tool"], each["branch"]) for each in one["segments"]]
    assert turns == [
        ("policy", "assistant", "", 0),
        ("context", "tool", "sum", 0),
        ("context", "assistant", "", 1),
        ("policy", "assistant", "", 1),
    ]
    assert [each.get("rewards") for each in one["segments"]] == [{"step": -0.5}, None, None, None]
    assert one["seconds"]["environment"] == 2.5 and one["others"]["num_tool_calls"] == 3
    assert json.loads(json_of(one)) == one


def test_columns_that_are_newer_than_the_page_are_listed() -> None:
    found = group({"group_id": "0/1", "trajectory": 0, "num_tool_calls": 2, "new": None})
    assert found["trajectories"][0]["others"] == {"num_tool_calls": 2}


def test_json_is_of_ascii_and_finite_whatever_a_model_wrote() -> None:
    text = json_of({"text": HOSTILE + "\ud800", "nan": float("nan"), "list": [float("inf"), 1.0]})
    assert text.isascii()
    assert json.loads(text) == {"text": HOSTILE + "\ud800", "nan": None, "list": [None, 1.0]}
