"""Recorded trajectories of several turns, scored by ``r1ray score``."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from r1ray.data.checks import MalformedRow
from r1ray.evaluation.recorded import response_of
from r1ray.main import main
from r1ray.telemetry.rollout_rows import SCHEMA, rows_of
from r1ray.turns import InEnvironment
from r1ray.types import (
    GroupRecord,
    Removed,
    Scored,
    ScoredGroup,
    ScoredTrajectory,
    Segment,
    Trajectory,
)
from tests.fakes import make_prompt, make_trajectory

MATH = {"type": "math", "answer": "4"}
SOLVED = "+reward.parts.solved={weight: 0.5, from_environment: true}"
CALL = {"role": "assistant", "content": r"first \boxed{3}", "tool_calls": [{"function": {"name": "sum"}}]}


def scored(capsys: pytest.CaptureFixture[str], *arguments: str) -> list[dict[str, Any]]:
    assert main(["score", *arguments]) == 0
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def written(path: Path, *rows: dict[str, Any]) -> str:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(path)


def test_the_last_turn_of_a_conversation_is_judged_beside_what_its_environment_said(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    turns = [CALL, {"role": "tool", "content": "4"}, {"role": "assistant", "content": r"\boxed{4}"}]
    row = {"id": "a", "check": MATH, "response": turns, "environment": "maze"}
    paid = {"final_rewards": {"solved": 1.0}, "turn_rewards": [{"called": 0.25}, {}]}
    alone = {**row, "response": turns[:2], "check": {"type": "format"}, "final_rewards": {"solved": 1, "left": None}}
    found = scored(capsys, written(tmp_path / "a.jsonl", row, {**row, **paid}, alone), SOLVED)
    assert [each["score"] for each in found] == [1.0, 1.5, 0.5]
    assert found[1]["parts"] == {"accuracy": 1.0, "solved": 1.0, "called": 0.25}


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"response": 7}, "response needs a string, or a list of messages, found '7'"),
        ({"response": []}, "response needs a string, or a list of messages"),
        ({"response": ["a"]}, "response needs a string, or a list of messages"),
        ({"response": [{"role": "user", "content": "a"}]}, "response needs a message of the role assistant"),
        ({"response": [{"role": "assistant", "content": [1]}]}, "its last message of the assistant needs a text"),
        ({"response": "a", "environment": 3}, "environment needs a name"),
        ({"response": "a", "environment": "b", "final_rewards": 3}, "final_rewards needs an object of numbers"),
        ({"response": "a", "environment": "b", "final_rewards": {"c": "d"}}, "final_rewards.c needs a number"),
        ({"response": "a", "environment": "b", "turn_rewards": {"c": 1}}, "turn_rewards needs a list of objects"),
        ({"response": "a", "environment": "b", "turn_rewards": [{"c": True}]}, "turn_rewards.c needs a number"),
    ],
)
def test_what_is_no_trajectory_is_said(row: dict[str, Any], message: str) -> None:
    with pytest.raises(MalformedRow, match=message):
        response_of(row)


def rollouts(path: Path) -> str:
    """A rollout log of one group in an environment, one of whose trajectories was removed, and one without."""

    def said(text: str, kind: Any = "policy") -> Segment:
        return replace(make_trajectory().segments[0], kind=kind, text=text, role="assistant")

    world = InEnvironment(name="maze", rewards={"solved": 1.0}, turn_rewards=({}, {"called": 0.5}), turn_tokens=(3, 3))
    several = replace(
        make_trajectory(),
        segments=(said(r"\boxed{9}"), said("given", "context"), said(r"\boxed{4}")),
        status="finished",
        world=world,
    )
    one = replace(make_trajectory(group_id="0/1", text=r"\boxed{4}"), status="finished")
    records = [
        _record(several, "maze", [Removed(index=1, reason="environment_lost", num_policy_tokens=0)]),
        _record(one, "", []),
    ]
    held = {each.id: each for each in (several, one)}
    rows = [row for each in records for row in rows_of(1, "rl", each, held, {}, lambda ids, text: None)]
    pq.write_table(pa.Table.from_pylist(rows, schema=SCHEMA), path)
    return str(path)


def _record(trajectory: Trajectory, environment: str, removed: list[Removed]) -> GroupRecord:
    group = ScoredGroup(
        group_id=trajectory.group_id,
        trajectories=(ScoredTrajectory.of(trajectory, Scored(1.0, {"accuracy": 1.0}), extracted="4"),),
        removed=tuple(removed),
        worker=0,
        incarnation="i",
        generate_s=1.0,
        reward_s=1.0,
    )
    prompt = replace(make_prompt(), environment=environment)
    return GroupRecord(group_id=trajectory.group_id, prompt=prompt, group=group, advantages=(None,), status="trained")


def test_a_file_of_a_rollout_log_is_scored_as_it_was_in_the_run(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    found = scored(capsys, rollouts(tmp_path / "step=000001.parquet"), SOLVED)
    assert [(each["id"], each["outcome"], each["score"]) for each in found] == [
        ("0/0#0", "scored", 1.5),
        ("0/0#1", "malformed", None),
        ("0/1#0", "scored", 1.0),
    ]
    assert found[0]["parts"] == {"accuracy": 1.0, "solved": 1.0, "called": 0.5}
    assert "its trajectory is missing: environment_lost" in found[1]["detail"]
