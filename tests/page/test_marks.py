from __future__ import annotations

from typing import Any

import pyarrow as pa

from r1ray.page.index import LIGHT, PLACE
from r1ray.page.marks import AS_RIGHT, SUSPICIONS, TOO_SHORT, differences_of, largest_difference, phrases_of, suspicions


def index_of(rows: list[dict[str, Any]]) -> pa.Table:
    return pa.Table.from_pylist(rows, schema=pa.schema([*LIGHT, *PLACE]))


def suspected(rows: list[dict[str, Any]]) -> list[str | None]:
    return [SUSPICIONS[number] for number in suspicions(index_of(rows))]


def row(label: str | None, reward: float | None, tokens: int | None = 100, file: int = 0) -> dict[str, Any]:
    return {"file": file, "label": label, "reward": reward, "num_policy_tokens": tokens}


def test_a_wrong_answer_that_is_paid_like_a_right_one_is_suspected() -> None:
    rows = [row("correct", 2.0), row("wrong", 2.0), row("wrong", 1.0), row(None, 2.0), row("no_answer", None)]
    rows += [row("correct", 2.0), row("correct", 1.0)]  # one without its format
    assert suspected(rows) == [None, AS_RIGHT, *[None] * 5]


def test_a_right_answer_in_few_tokens_is_suspected_where_others_take_many() -> None:
    rows = [row("correct", 1.0), row("correct", 1.0), row("correct", 1.0, tokens=5)]
    assert suspected(rows) == [None, None, TOO_SHORT]
    short = [row("correct", 1.0, tokens=20), row("correct", 1.0, tokens=20), row("correct", 1.0, tokens=1)]
    assert suspected(short) == [None, None, None]


def test_steps_are_judged_by_themselves() -> None:
    rows = [row("correct", 1.0), row("wrong", 0.0), row("wrong", 2.0, file=1), row("wrong", 0.0, file=1)]
    assert suspected(rows) == [None] * 4
    assert len(suspected([])) == 0


def test_differences_are_learner_minus_engine() -> None:
    segment = {"logprobs": [-1.0, -2.0, -3.0], "learner_logprobs": [-1.5, -2.0, float("nan")]}
    found = differences_of(segment)
    assert found is not None and found.tolist() == [-0.5, 0.0, 0.0]
    assert largest_difference([segment, {"text": "context"}], num_updates=0) == 0.5
    assert largest_difference([segment], num_updates=None) == 0.5, "files that are older than the column"
    assert largest_difference([segment], num_updates=1) is None, "an update moved them"
    assert largest_difference([{"logprobs": [-1.0], "learner_logprobs": None}], num_updates=0) is None
    assert differences_of({"logprobs": [-1.0], "learner_logprobs": [-1.0, -2.0]}) is None


def test_phrases_are_named_once() -> None:
    assert phrases_of(["Wait, no. Wait, let me check.", ""]) == [["wait", "let me check"], []]
