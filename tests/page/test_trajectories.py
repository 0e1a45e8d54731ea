from __future__ import annotations

import json
from typing import Any

from r1ray.page.packing import json_of
from r1ray.page.trajectories import group_of
from tests.page.planted import HOSTILE, segment


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


def test_columns_that_are_newer_than_the_page_are_listed() -> None:
    found = group({"group_id": "0/1", "trajectory": 0, "num_tool_calls": 2, "new": None})
    assert found["trajectories"][0]["others"] == {"num_tool_calls": 2}


def test_json_is_of_ascii_and_finite_whatever_a_model_wrote() -> None:
    text = json_of({"text": HOSTILE + "\ud800", "nan": float("nan"), "list": [float("inf"), 1.0]})
    assert text.isascii()
    assert json.loads(text) == {"text": HOSTILE + "\ud800", "nan": None, "list": [None, 1.0]}
