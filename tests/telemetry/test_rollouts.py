from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Literal, TypeAlias

import numpy as np
import pytest

from r1ray.checks import ProgramTests
from r1ray.errors import PartFailure, UserError
from r1ray.telemetry.learned import Learned
from r1ray.telemetry.rollout_rows import trajectory_of
from r1ray.telemetry.rollouts import EVALUATION, RolloutLog, read_rollouts, reflection_rows, rollout_steps
from r1ray.telemetry.stored_groups import stored_step
from r1ray.turns import InEnvironment
from r1ray.types import (
    GroupRecord,
    Outcome,
    Prompt,
    Removed,
    Scored,
    ScoredGroup,
    ScoredTrajectory,
    ScoringFailed,
    Segment,
    Trajectory,
    VersionSpan,
)
from tests.fakes import make_prompt, make_trajectory
from tests.learner.lending import Lent, by_id
from tests.telemetry.test_token_ends import TOKENIZER

GroupStatus: TypeAlias = Literal["trained", "dropped", "uniform", "not_finite", "evaluated"]


def scored(trajectory: Trajectory, outcome: Outcome) -> ScoredTrajectory:
    return ScoredTrajectory.of(trajectory, outcome, extracted="4", seconds=0.25)


def record_of(
    group_id: str,
    members: Sequence[ScoredTrajectory] | None = None,
    advantages: Sequence[float | None] = (),
    *,
    prompt: Prompt | None = None,
    removed: Sequence[Removed] = (),
    status: GroupStatus = "trained",
    reason: str = "",
) -> GroupRecord:
    """Return the record of a group; without ``members`` there was nothing of it."""
    group = None
    if members is not None:
        group = ScoredGroup(
            group_id=group_id,
            trajectories=tuple(members),
            removed=tuple(removed),
            worker=0,
            incarnation="",
            generate_s=1.0,
            reward_s=0.5,
        )
    return GroupRecord(
        group_id=group_id,
        prompt=prompt or make_prompt(),
        group=group,
        advantages=tuple(advantages),
        status=status,
        dropped_reason=reason,
    )


def lent(*trajectories: Trajectory) -> Lent:
    return Lent(by_id(trajectories))


RIGHT = Scored(1.5, {"accuracy": 1.0, "format": 0.5}, label="correct", detail="as asked")
NO_TOKENS = np.zeros(0, dtype=np.float32)


def with_a_tool() -> Trajectory:
    """Two turns of the policy, the second in a branch of its own that repeats the first."""
    first = make_trajectory(num_tokens=2, text="call").segments[0]
    told = Segment(kind="context", token_ids=np.array([40, 41], np.int32), logprobs=NO_TOKENS, role="tool", tool="sum")
    again = replace(first, kind="context", logprobs=NO_TOKENS, versions=(), branch=1)
    second = replace(
        make_trajectory(num_tokens=3, text="4").segments[0],
        versions=(VersionSpan(5, 0, 1), VersionSpan(6, 1, 3)),
        branch=1,
        stop="</answer>",
    )
    return Trajectory(
        group_id="0/3",
        index=1,
        prompt_token_ids=np.array([1, 2], np.int32),
        segments=(first, told, again, second),
        status="truncated",
        seconds=1.5,
    )


def test_every_trajectory_of_a_group_is_a_row_with_its_reward_and_tokens(tmp_path: Path) -> None:
    one, other = (make_trajectory(group_id="0/3", index=i, version=5, text="a") for i in (0, 1))
    one = replace(one, seconds=2.0)
    trained = record_of("0/3", [scored(one, RIGHT), scored(other, ScoringFailed("late"))], (0.7, None))
    path = RolloutLog(tmp_path).write(12, [trained], lent(one, other))
    assert path.name == "step=000012.parquet"
    first, second = read_rollouts(tmp_path)
    assert {name: first[name] for name in first if name not in ("segments", "seconds")} == {  # type: ignore[literal-required]
        **{"step": 12, "stage": "rl", "group_id": "0/3", "prompt_id": "p0", "trajectory": 0, "environment": None},
        **{"domain": "math", "language": "en", "prompt_text": "question p0", "response_text": "a", "answer": "4"},
        **{"extracted": "4", "group_status": "trained", "dropped_reason": None},
        **{"reward": 1.5, "rewards": {"accuracy": 1.0, "format": 0.5}, "outcome": "scored", "label": "correct"},
        **{"detail": "as asked", "tests": None, "advantage": 0.7, "learner_updates": None, "status": "finished"},
        **{"num_policy_tokens": 3, "num_context_tokens": 0, "num_turns": 1, "num_branches": 1},
        **{"final_rewards": None, "turn_rewards": None, "num_tool_calls": None, "num_tool_errors": None},
        **{"versions": {"min": 5, "max": 5}, "prompt_tokens": [1, 2]},
    }
    assert first["seconds"] == {"generate": 2.0, "environment": 0.0, "reward": 0.25}
    assert trajectory_of(first).domain == "math", "a replay chooses its teacher by it"
    (segment,) = first["segments"]
    assert (segment["tokens"], segment["logprobs"], segment["version"]) == ([5, 6, 7], [-1.0] * 3, 5)
    assert segment["learner_logprobs"] is None, "not computed"
    assert segment["token_ends"] is None, "no tokenizer"
    assert (second["reward"], second["outcome"], second["detail"]) == (None, "infrastructure_error", "late")
    assert (second["rewards"], second["advantage"]) == ({}, None)


def test_turns_and_branches_are_items_of_a_row(tmp_path: Path) -> None:
    trajectory = with_a_tool()
    record = record_of("0/3", [scored(trajectory, RIGHT)], (0.5,))
    RolloutLog(tmp_path).write(1, [record], lent(trajectory))
    (row,) = read_rollouts(tmp_path, step=1)
    kinds = [(each["branch"], each["kind"], each["role"], each["text"]) for each in row["segments"]]
    assert kinds == [
        (0, "policy", "assistant", "call"),
        (0, "context", "tool", ""),
        (1, "context", "assistant", "call"),
        (1, "policy", "assistant", "4"),
    ]
    assert row["response_text"] == "call4"
    assert (row["num_policy_tokens"], row["num_context_tokens"], row["num_turns"], row["num_branches"]) == (5, 4, 2, 2)
    assert row["versions"] == {"min": 0, "max": 6}
    assert [each["version"] for each in row["segments"]] == [0, None, None, 5]
    assert [each["logprobs"] is None for each in row["segments"]] == [False, True, True, False]


IN_MAZE = InEnvironment(
    name="maze",
    rewards={"exit": 1.0},
    turn_rewards=({"step": -0.5}, {}),
    turn_tokens=(2, 3),
    num_calls=3,
    num_errors=1,
    seconds=2.5,
)


def test_what_an_environment_said_stands_in_its_row_and_comes_back(tmp_path: Path) -> None:
    trajectory = replace(with_a_tool(), world=IN_MAZE)
    late = replace(make_trajectory(group_id="0/3", index=2), world=replace(IN_MAZE, turn_rewards=({},)))
    record = record_of(
        "0/3",
        [scored(trajectory, Scored(1.0, {"exit": 1.0, "step": -0.5}))],
        (0.5,),
        prompt=replace(make_prompt(), environment="maze"),
        removed=[Removed(index=2, reason="late", num_policy_tokens=3)],
    )
    RolloutLog(tmp_path).write(1, [record], lent(trajectory, late))
    row, removed = read_rollouts(tmp_path)
    assert row["environment"] == removed["environment"] == "maze"
    assert (row["final_rewards"], row["turn_rewards"]) == ({"exit": 1.0}, [{"step": -0.5}, {}])
    assert (row["num_tool_calls"], row["num_tool_errors"]) == (3, 1)
    assert row["seconds"] == {"generate": 1.5, "environment": 2.5, "reward": 0.25}
    assert removed["seconds"]["environment"] == 2.5 and removed["num_tool_calls"] == 3
    assert trajectory_of(row).world == IN_MAZE
    (group,) = stored_step([row, removed]).groups
    assert group.trajectories[0].world == IN_MAZE


def test_what_the_learner_found_stands_beside_the_tokens_of_its_segments(tmp_path: Path) -> None:
    trajectory, untrained = with_a_tool(), make_trajectory(group_id="0/3", num_tokens=2)
    record = record_of("0/3", [scored(untrained, RIGHT), scored(trajectory, RIGHT)], (None, 0.5))
    found = Lent({trajectory.id: Learned(np.array([-1, -2, -3, -4, -5], np.float32), num_updates=2)})
    RolloutLog(tmp_path).write(1, [record], lent(untrained, trajectory), learned=found)
    without, row = read_rollouts(tmp_path)
    assert [each["learner_logprobs"] for each in row["segments"]] == [[-1.0, -2.0], None, None, [-3.0, -4.0, -5.0]]
    assert (row["learner_updates"], without["learner_updates"]) == (2, None)
    assert without["segments"][0]["learner_logprobs"] is None


def test_log_probabilities_of_another_attempt_at_a_trajectory_are_left_out(tmp_path: Path) -> None:
    trajectory = make_trajectory(group_id="0/3", num_tokens=3)
    found = Lent({trajectory.id: Learned(np.array([-1.0], np.float32), num_updates=0)})
    RolloutLog(tmp_path).write(
        1, [record_of("0/3", [scored(trajectory, RIGHT)], (0.5,))], lent(trajectory), learned=found
    )
    (row,) = read_rollouts(tmp_path)
    assert (row["segments"][0]["learner_logprobs"], row["learner_updates"]) == (None, None)


def test_the_ends_of_tokens_are_those_of_the_models_tokenizer(tmp_path: Path) -> None:
    TOKENIZER.save(str(tmp_path / "tokenizer.json"))
    ids, text = TOKENIZER.encode("a é").ids, "a é"
    trajectory = make_trajectory(group_id="0/3", text=text)
    (segment,) = trajectory.segments
    logprobs = np.zeros(len(ids), np.float32)
    segment = replace(segment, token_ids=np.array(ids, np.int32), logprobs=logprobs)
    trajectory = replace(trajectory, segments=(segment,))
    RolloutLog(tmp_path / "rollouts", str(tmp_path)).write(
        1, [record_of("0/3", [scored(trajectory, RIGHT)], (0.5,))], lent(trajectory)
    )
    (row,) = read_rollouts(tmp_path / "rollouts")
    assert row["segments"][0]["token_ends"] == [1, 2, 2, 3]


def test_a_model_without_a_tokenizer_costs_the_ends_and_no_run(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    write(RolloutLog(tmp_path / "rollouts", str(tmp_path)), 1, "a")
    (row,) = read_rollouts(tmp_path / "rollouts")
    assert row["segments"][0]["token_ends"] is None and "does not say where tokens end" in caplog.text


def test_tests_of_a_program_stand_in_its_row_and_come_back(tmp_path: Path) -> None:
    one = make_trajectory(group_id="0/3")
    outcome = Scored(0.0, {"accuracy": 0.0}, label="wrong", detail="", tests=ProgramTests(1, 2, 5))
    RolloutLog(tmp_path).write(1, [record_of("0/3", [scored(one, outcome)], (0.5,))], lent(one))
    rows = list(read_rollouts(tmp_path))
    assert rows[0]["tests"] == {"passed": 1, "run": 2, "total": 5}
    assert stored_step(rows).groups[0].trajectories[0].outcome == outcome


def test_an_evaluation_has_a_file_of_its_own_which_a_resumed_run_writes_again(tmp_path: Path) -> None:
    log = RolloutLog(tmp_path)
    for step in (0, 2):
        write(log, step, "a", "b", status="evaluated", name=EVALUATION)
    assert [row["group_status"] for row in read_rollouts(tmp_path, step=2, name=EVALUATION)] == ["evaluated"] * 2
    assert rollout_steps(tmp_path, name=EVALUATION) == [0, 2] and rollout_steps(tmp_path) == []
    log.write(2, [], lent(), name=EVALUATION, again=True)
    log.rewind(1)
    assert rollout_steps(tmp_path, name=EVALUATION) == [0] and reflection_rows(tmp_path) == []


def test_a_row_is_its_trajectory_again(tmp_path: Path) -> None:
    trajectory = with_a_tool()
    record = record_of("0/3", [scored(trajectory, RIGHT)], (0.5,))
    RolloutLog(tmp_path).write(1, [record], lent(trajectory))
    found = trajectory_of(next(read_rollouts(tmp_path)))
    for ours, theirs in zip(found.segments, trajectory.segments, strict=True):
        for name in ("token_ids", "logprobs"):
            assert np.array_equal(getattr(ours, name), getattr(theirs, name))
            assert getattr(ours, name).dtype == getattr(theirs, name).dtype
        bare = {"token_ids": NO_TOKENS, "logprobs": NO_TOKENS}
        assert repr(replace(ours, **bare)) == repr(replace(theirs, **bare))  # type: ignore[arg-type]
    assert (found.id, found.status, found.seconds, found.is_ended) == ("0/3#1", "truncated", 1.5, False)
    assert found.prompt_token_ids.tolist() == [1, 2]


def test_what_was_removed_from_a_group_is_a_row_with_its_reason(tmp_path: Path) -> None:
    one, late = (make_trajectory(group_id="0/3", index=i, num_tokens=2 + i, version=5) for i in (0, 1))
    removed = [
        Removed(index=index, reason=why, num_policy_tokens=n) for index, why, n in ((1, "late", 3), (2, "lost", 0))
    ]
    record = record_of("0/3", [scored(one, RIGHT)], (0.5,), removed=removed)
    RolloutLog(tmp_path).write(1, [record], lent(one, late))
    rows = list(read_rollouts(tmp_path))
    assert [(row["trajectory"], row["outcome"], row["detail"]) for row in rows] == [
        (0, "scored", "as asked"),
        (1, "removed", "late"),
        (2, "removed", "lost"),
    ]
    assert [(row["num_policy_tokens"], row["advantage"], row["reward"]) for row in rows[1:]] == [
        (3, None, None),
        (0, None, None),
    ]
    assert rows[1]["segments"][0]["tokens"] == [5, 6, 7]
    assert rows[2]["segments"] is None, "there was nothing of it"


def test_a_trajectory_that_is_gone_with_its_worker_has_a_row_without_tokens(tmp_path: Path) -> None:
    one = make_trajectory(group_id="0/3", version=5)
    RolloutLog(tmp_path).write(1, [record_of("0/3", [scored(one, RIGHT)], (0.5,))], lent())
    (row,) = read_rollouts(tmp_path)
    assert (row["reward"], row["num_policy_tokens"], row["response_text"], row["segments"]) == (1.5, 3, None, None)
    assert reflection_rows(tmp_path) == [], "there is no text to measure"


@pytest.mark.parametrize(
    ("status", "reason", "expected"),
    [
        ("dropped", "engine_lost", ("dropped", "engine_lost")),
        ("uniform", "uniform", ("uniform", None)),
        ("not_finite", "", ("dropped", "not_finite")),
    ],
)
def test_a_group_without_trajectories_is_a_row_that_says_what_became_of_it(
    tmp_path: Path, status: GroupStatus, reason: str, expected: tuple[str, str | None]
) -> None:
    record = record_of("0/4", prompt=make_prompt("p1"), status=status, reason=reason)
    RolloutLog(tmp_path).write(3, [record], lent())
    (row,) = read_rollouts(tmp_path)
    assert (row["group_status"], row["dropped_reason"]) == expected
    assert (row["group_id"], row["prompt_text"], row["trajectory"], row["segments"]) == (
        *("0/4", "question p1", None, None),
    )


def test_rows_are_read_in_the_order_of_the_steps_with_the_columns_that_are_wanted(tmp_path: Path) -> None:
    log = RolloutLog(tmp_path, stage="reasoning")
    for step in (10, 2, 1):
        log.write(step, [record_of("0/4", status="dropped", reason="stale")] * 2, lent())
    rows = list(read_rollouts(tmp_path, columns=["step", "stage"]))
    assert [row["step"] for row in rows] == [1, 1, 2, 2, 10, 10]
    assert rows[0] == {"step": 1, "stage": "reasoning"}
    assert [row["step"] for row in read_rollouts(tmp_path, step=2)] == [2, 2]


def test_a_step_that_was_not_logged_is_refused_with_those_that_were(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="holds no rollouts of step 3; there are none of any step"):
        next(read_rollouts(tmp_path, step=3))
    RolloutLog(tmp_path).write(1, [], lent())
    with pytest.raises(UserError, match="holds no rollouts of step 3; there are steps 1 to 1"):
        next(read_rollouts(tmp_path, step=3))


def test_groups_set_aside_survive_a_resumed_run(tmp_path: Path) -> None:
    log = RolloutLog(tmp_path)
    log.write(3, [record_of("0/4", status="not_finite")], lent(), name="not_finite_step")
    log.rewind(0)
    (row,) = read_rollouts(tmp_path, step=3, name="not_finite_step")
    assert row["dropped_reason"] == "not_finite"
    assert list(read_rollouts(tmp_path)) == [], "and are in no step"


def test_a_resumed_run_removes_the_files_it_will_write_again(tmp_path: Path) -> None:
    log = RolloutLog(tmp_path)
    for step in (1, 2, 3):
        log.write(step, [], lent())
    log.rewind(1)
    assert [path.name for path in tmp_path.iterdir()] == ["step=000001.parquet"]


def write(
    log: RolloutLog, step: int, *texts: str, status: GroupStatus = "trained", reason: str = "", name: str = "step"
) -> None:
    made = [make_trajectory(group_id="0/3", index=index, text=text) for index, text in enumerate(texts)]
    members = [scored(trajectory, Scored(1.0, {"accuracy": 1.0})) for trajectory in made]
    record = record_of("0/3", members, (0.0,) * len(texts), status=status, reason=reason)
    log.write(step, [record], lent(*made), name=name)


def test_a_step_is_a_line_on_reflection_with_quotes_as_they_were_written(tmp_path: Path) -> None:
    write(RolloutLog(tmp_path), 3, "等等\uff0c不对", "4")
    (row,) = reflection_rows(tmp_path)
    assert (row["step"], row["share"], row["share_right"], row["share_wrong"]) == (3, 0.5, 0.5, None)
    assert row["by_language"]["en"]["num_completions"] == 2
    assert "等等\uff0c不对" in (tmp_path / "reflection.jsonl").read_text(encoding="utf-8")


def test_only_trained_groups_of_steps_are_measured(tmp_path: Path) -> None:
    log = RolloutLog(tmp_path)
    write(log, 1, "Wait!", status="dropped", reason="stale")
    write(log, 2, "Wait!", name="not_finite_step")
    log.write(3, [], lent())
    assert reflection_rows(tmp_path) == []


def test_a_resumed_run_forgets_the_lines_it_will_write_again(tmp_path: Path) -> None:
    log = RolloutLog(tmp_path)
    for step in (1, 2, 3):
        write(log, step, "Wait!")
    with (tmp_path / "reflection.jsonl").open("a") as file:
        file.write('{"step": 4, "sha')
    RolloutLog(tmp_path).rewind(2)
    write(log, 3, "4")
    assert [(row["step"], row["share"]) for row in reflection_rows(tmp_path)] == [(1, 1.0), (2, 1.0), (3, 0.0)]


def test_what_a_reward_function_did_wrong_stands_in_the_row(tmp_path: Path) -> None:
    failed = PartFailure(part="mine", kind="ValueError at my.py:3", message="ValueError: x", response="a")
    zero, masked = Scored(1.0, {"mine": 0.0}, (failed,), detail="as asked"), ScoringFailed(str(failed), (failed,))
    made = [make_trajectory(group_id="0/3", index=i, text="a") for i in (0, 1)]
    record = record_of("0/3", [scored(made[0], zero), scored(made[1], masked)], (0.5, None))
    RolloutLog(tmp_path).write(1, [record], lent(*made))
    first, second = read_rollouts(tmp_path)
    assert (first["outcome"], first["detail"]) == ("scored", "as asked; reward part mine: ValueError: x (my.py:3)")
    assert (second["outcome"], second["detail"]) == ("reward_error", "reward part mine: ValueError: x (my.py:3)")
    assert not (tmp_path / "set_aside.jsonl").exists()


def test_a_trajectory_that_ended_its_workers_is_set_aside_until_its_step_is_rewound(tmp_path: Path) -> None:
    ended = [
        PartFailure(part=part, kind="ended its process", message="gone", response="a", ended_worker=True)
        for part in ("mine", "other")
    ]
    log = RolloutLog(tmp_path)
    for step in (1, 2):
        one, other = (make_trajectory(group_id=f"0/{step}", index=i, text=f"text {i}") for i in (0, 1))
        outcomes = [scored(one, RIGHT), scored(other, ScoringFailed("gone, 3 times", tuple(ended)))]
        log.write(step, [record_of(f"0/{step}", outcomes, (0.5, None))], lent(one, other))
    rows = [json.loads(line) for line in (tmp_path / "set_aside.jsonl").read_text().splitlines()]
    assert [row["step"] for row in rows] == [1, 2]
    assert rows[0] | {"step": 0} == {
        **{"step": 0, "prompt_id": "p0", "group_id": "0/1", "trajectory": 1, "part": "mine, other"},
        **{"reason": "gone, 3 times", "response": "text 1"},
    }
    log.rewind(1)
    assert (tmp_path / "set_aside.jsonl").read_text().count("\n") == 1


def test_a_step_whose_writer_was_killed_in_the_middle_of_it_is_written_once(tmp_path: Path) -> None:
    """It had written its file and a part of its line."""
    one = make_trajectory(group_id="0/1", text="wait, let me check")
    record = record_of("0/1", [scored(one, RIGHT)], (0.7,))
    RolloutLog(tmp_path).write(1, [record], lent(one))
    before = reflection_rows(tmp_path)
    RolloutLog(tmp_path).write(2, [record], lent(one))
    with (tmp_path / "reflection.jsonl").open("a") as file:
        file.write('{"step": 2, "re')
    RolloutLog(tmp_path).write(2, [record], lent(one), again=True)
    RolloutLog(tmp_path).write(3, [record], lent(one))
    rows = reflection_rows(tmp_path)
    assert [row["step"] for row in rows] == [1, 2, 3] and rows[0] == before[0]
    assert [row["step"] for row in read_rollouts(tmp_path, columns=["step"])] == [1, 2, 3]
