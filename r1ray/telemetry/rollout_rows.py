"""Rows of the rollout log: one a trajectory, with its segments as a list. Pure functions.

    GroupRecord, Trajectory  --rows_of-->  RolloutRow  --trajectory_of-->  Trajectory

What the engine saw in a branch is ``prompt_tokens`` followed by the tokens of the branch's segments.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import Any, Literal, TypeAlias, TypedDict

import numpy as np
import pyarrow as pa

from r1ray.checks import MathAnswer
from r1ray.telemetry.learned import Learned
from r1ray.turns import InEnvironment
from r1ray.types import (
    GroupRecord,
    Int32Array,
    Outcome,
    Removed,
    ScoredTrajectory,
    ScoringFailed,
    Segment,
    Status,
    Trajectory,
    Unscorable,
    VersionSpan,
    trajectory_id,
)

SPAN = pa.struct([("version", pa.int32()), ("start", pa.int32()), ("end", pa.int32())])
SEGMENT = pa.struct(
    [
        ("branch", pa.int32()),
        ("kind", pa.string()),
        ("role", pa.string()),
        ("text", pa.string()),
        ("tokens", pa.list_(pa.int32())),
        ("token_ends", pa.list_(pa.int32())),
        ("logprobs", pa.list_(pa.float32())),
        ("learner_logprobs", pa.list_(pa.float32())),
        ("version", pa.int32()),
        ("versions", pa.list_(SPAN)),
        ("tool", pa.string()),
        ("stop", pa.string()),
    ]
)
SCHEMA = pa.schema(
    [
        ("step", pa.int32()),
        ("stage", pa.string()),
        ("group_id", pa.string()),
        ("prompt_id", pa.string()),
        ("trajectory", pa.int32()),
        ("environment", pa.string()),
        ("domain", pa.string()),
        ("language", pa.string()),
        ("prompt_text", pa.string()),
        ("response_text", pa.string()),
        ("answer", pa.string()),
        ("extracted", pa.string()),
        ("group_status", pa.string()),
        ("dropped_reason", pa.string()),
        ("reward", pa.float64()),
        ("rewards", pa.map_(pa.string(), pa.float64())),
        ("final_rewards", pa.map_(pa.string(), pa.float64())),
        ("turn_rewards", pa.list_(pa.map_(pa.string(), pa.float64()))),
        ("outcome", pa.string()),
        ("label", pa.string()),
        ("detail", pa.string()),
        ("tests", pa.struct([("passed", pa.int32()), ("run", pa.int32()), ("total", pa.int32())])),
        ("advantage", pa.float64()),
        ("learner_updates", pa.int32()),
        ("status", pa.string()),
        ("num_policy_tokens", pa.int32()),
        ("num_context_tokens", pa.int32()),
        ("num_turns", pa.int32()),
        ("num_tool_calls", pa.int32()),
        ("num_tool_errors", pa.int32()),
        ("num_branches", pa.int32()),
        ("versions", pa.struct([("min", pa.int32()), ("max", pa.int32())])),
        ("seconds", pa.struct([("generate", pa.float64()), ("environment", pa.float64()), ("reward", pa.float64())])),
        ("prompt_tokens", pa.list_(pa.int32())),
        ("segments", pa.list_(SEGMENT)),
    ]
)


class SegmentRow(TypedDict):
    """One item of :attr:`RolloutRow.segments`: a :class:`r1ray.types.Segment`."""

    branch: int
    """Number of the branch that it is in: a template that rewrites history begins another one."""
    kind: Literal["policy", "context"]
    """Sampled, or given. What follows "policy" below is None of a context segment."""
    role: str
    """``assistant``, ``tool``, ``user``, as the template calls it."""
    text: str
    """The tokens decoded, without the end-of-sequence token."""
    tokens: list[int]
    """Ids, with the end-of-sequence token where one was sampled."""
    token_ends: list[int] | None
    """Where each token ends in ``text``, in characters: token i is ``text[ends[i - 1]:ends[i]]``. A character that
    several tokens make is the last one's; the end-of-sequence token is empty. None where the tokens do not spell the
    text."""
    logprobs: list[float] | None
    """Policy: log pi_old of each token, as sampled, at the temperature of sampling."""
    learner_logprobs: list[float] | None
    """Policy: the learner's own at the same temperature, of the forward pass that ``learner_updates`` says; None where
    it was not trained on, or the ranks that had them are gone."""
    version: int | None
    """Policy: the one that sampled its oldest token."""
    versions: list[dict[str, int]] | None
    """Policy: :class:`r1ray.types.VersionSpan` s."""
    tool: str
    """Name of the tool that gave a context segment; empty otherwise."""
    stop: str
    """The stop string on which a policy segment ended; empty where it ended otherwise."""


class RolloutRow(TypedDict, total=False):
    """One trajectory. A group that was dropped before anything of it arrived is a row without one: what does not come
    from the prompt is None."""

    step: int
    """The step in which it was trained on or dropped; of ``eval_step=`` files the one whose weights answered."""
    stage: str
    """Name of the stage."""
    group_id: str
    """``<epoch>/<position>`` in the data; of an evaluation ``eval/<set>/<number>``."""
    prompt_id: str
    """The data set's own name of the row."""
    trajectory: int
    """Its index in the group."""
    environment: str | None
    """None where nothing answered the policy."""
    domain: str
    """Domain of the prompt."""
    language: str
    """Language of the prompt."""
    prompt_text: str
    """The prompt as the engine tokenized it, template applied."""
    response_text: str
    """All that the policy wrote, its segments one after the other."""
    answer: str | None
    """The reference, of prompts whose check has one."""
    extracted: str | None
    """The answer, or the program, that was found in the response and judged."""
    group_status: str
    """``trained``; ``uniform``: not trained on, because its rewards are all equal; ``dropped``; ``evaluated``: in a
    file of an evaluation."""
    dropped_reason: str | None
    """Reason of a dropped group: see ``ledger/dropped/<reason>``."""
    reward: float | None
    """The total r_i."""
    rewards: dict[str, float]
    """By the names of the parts, with what has no weight."""
    final_rewards: dict[str, float] | None
    """Parts that its environment gave for the final state; None where it was in no environment."""
    turn_rewards: list[dict[str, float]] | None
    """Parts that its environment gave for each turn."""
    outcome: str
    """``scored``, ``unscorable``, ``infrastructure_error``, ``reward_error``: masked, because a reward function failed;
    or ``removed``: for the reason in ``detail``."""
    label: str | None
    """One word of the check: ``correct``, ``wrong``, ``no_answer``, ``timeout``."""
    detail: str | None
    """Text for people, with what reward functions raised."""
    tests: dict[str, int] | None
    """Tests of a program: how many it passed, of those that were run, and how many there are. A program is not run on
    after the first that it fails, unless ``sandbox.partial`` pays for each."""
    advantage: float | None
    """None where the trajectory was not trained on."""
    learner_updates: int | None
    """Updates that the step had made when ``learner_logprobs`` were computed. 0: by the policy before the step, as in
    the first minibatch, and with ``algo.old_logprobs=learner`` in all. None where there are none."""
    status: Status
    """``finished``; ``truncated`` by the length limit; ``aborted``; ``failed``."""
    num_policy_tokens: int
    """Sampled tokens."""
    num_context_tokens: int
    """Given tokens, without the prompt's."""
    num_turns: int
    """Segments that were sampled."""
    num_tool_calls: int | None
    """Calls of tools that the policy made; None where it was in no environment."""
    num_tool_errors: int | None
    """Calls that no tool could serve, malformed ones among them; None where it was in no environment."""
    num_branches: int
    """Training rows that it makes."""
    versions: dict[str, int]
    """Policy versions of its oldest and its newest token."""
    seconds: dict[str, float | None]
    """``generate`` is None where the trajectory is gone with the worker that held it."""
    prompt_tokens: list[int]
    """Ids of the prompt's tokens."""
    segments: list[SegmentRow]
    """All that followed the prompt, in order, branch after branch."""


Ends: TypeAlias = Callable[[Sequence[int] | Int32Array, str], Sequence[int] | None]
"""Where tokens end in their text: :class:`r1ray.telemetry.token_ends.TokenEnds`."""


def rows_of(
    step: int,
    stage: str,
    record: GroupRecord,
    trajectories: Mapping[str, Trajectory],
    learned: Mapping[str, Learned],
    ends: Ends,
) -> Iterator[dict[str, Any]]:
    """Yield the rows of a group, with numpy arrays for lists of tokens.

    Args:
        trajectories: by id; of one that is gone, with the worker that held it, the row has no text and no tokens.
        learned: by id, of those that were trained on.
    """
    columns, group = group_columns(step, stage, record), record.group
    if group is None:
        yield columns
        return
    for scored, advantage in zip(group.trajectories, record.advantages, strict=True):
        name = trajectory_id(record.group_id, scored.index)
        trajectory, of_learner = trajectories.get(name), learned.get(name)
        yield {
            **columns,
            **_scored_columns(scored, trajectory),
            **_token_columns(trajectory, of_learner, ends),
            "advantage": advantage,
        }
    for removed in group.removed:
        trajectory = trajectories.get(trajectory_id(record.group_id, removed.index))
        yield columns | _removed_columns(removed, trajectory) | _token_columns(trajectory, None, ends)


def set_aside_rows(
    step: int, records: Sequence[GroupRecord], trajectories: Mapping[str, Trajectory]
) -> Iterator[dict[str, Any]]:
    """Yield a row for each trajectory whose scoring ended its workers, with the parts that may have: nobody scores it
    again."""
    for record in records:
        for scored in record.group.trajectories if record.group is not None else ():
            outcome, name = scored.outcome, trajectory_id(record.group_id, scored.index)
            if not isinstance(outcome, ScoringFailed):
                continue
            if not (ended := [failure for failure in outcome.failures if failure.ended_worker]):
                continue
            yield {
                "step": step,
                "prompt_id": record.prompt.id,
                "group_id": record.group_id,
                "trajectory": scored.index,
                "part": ", ".join(failure.part for failure in ended),
                "reason": outcome.reason,
                "response": trajectories[name].text if name in trajectories else ended[0].response,
            }


def trajectory_of(row: RolloutRow) -> Trajectory:
    """Return the trajectory of a row."""
    return Trajectory(
        group_id=row["group_id"],
        index=row["trajectory"],
        prompt_token_ids=np.array(row["prompt_tokens"], dtype=np.int32),
        segments=tuple(map(_segment_of, row["segments"])),
        status=row["status"],
        seconds=row["seconds"]["generate"] or 0.0,
        world=world_of(row),
        domain=row["domain"],
    )


def world_of(row: RolloutRow) -> InEnvironment | None:
    """Return what the environment said of the trajectory of a row; None where it was in none."""
    if (name := row.get("environment")) is None or (turn_rewards := row.get("turn_rewards")) is None:
        return None
    return InEnvironment(
        name=name,
        rewards=row.get("final_rewards") or {},
        turn_rewards=tuple(turn_rewards),
        turn_tokens=tuple(len(each["tokens"]) for each in row.get("segments", ()) if each["kind"] == "policy"),
        num_calls=row.get("num_tool_calls") or 0,
        num_errors=row.get("num_tool_errors") or 0,
        seconds=row["seconds"]["environment"] or 0.0,
    )


def group_columns(step: int, stage: str, record: GroupRecord) -> dict[str, Any]:
    """Return the columns that the rows of a group share."""
    prompt = record.prompt
    return {
        "step": step,
        "stage": stage,
        "group_id": record.group_id,
        "prompt_id": prompt.id,
        "environment": prompt.environment or None,
        "domain": prompt.domain,
        "language": prompt.language,
        "prompt_text": prompt.text,
        "answer": prompt.check.answer if isinstance(prompt.check, MathAnswer) else None,
        "group_status": "dropped" if record.status == "not_finite" else record.status,
        "dropped_reason": _dropped_reason(record),
    }


def _dropped_reason(record: GroupRecord) -> str | None:
    if record.status == "not_finite":
        return "not_finite"
    return record.dropped_reason if record.status == "dropped" else None


def _scored_columns(scored: ScoredTrajectory, trajectory: Trajectory | None) -> dict[str, Any]:
    return {
        "trajectory": scored.index,
        "extracted": scored.extracted,
        **_outcome_columns(scored.outcome),
        "status": scored.status,
        "num_policy_tokens": scored.num_policy_tokens,
        "num_context_tokens": scored.num_context_tokens,
        "num_turns": scored.num_turns,
        "num_branches": scored.num_branches,
        "versions": {"min": scored.oldest_version, "max": scored.newest_version},
        "seconds": _seconds(trajectory, scored.world, reward_s=scored.seconds),
        **_world_columns(scored.world),
    }


def _removed_columns(removed: Removed, trajectory: Trajectory | None) -> dict[str, Any]:
    world = trajectory.world if trajectory is not None else None
    return {
        "trajectory": removed.index,
        "outcome": "removed",
        "detail": removed.reason,
        "rewards": [],
        "status": "aborted",
        "num_policy_tokens": removed.num_policy_tokens,
        "seconds": _seconds(trajectory, world, reward_s=0.0),
        **_world_columns(world),
    }


def _seconds(trajectory: Trajectory | None, world: InEnvironment | None, *, reward_s: float) -> dict[str, float | None]:
    generate_s = trajectory.seconds if trajectory is not None else None
    return {"generate": generate_s, "environment": world.seconds if world is not None else 0.0, "reward": reward_s}


def _world_columns(world: InEnvironment | None) -> dict[str, Any]:
    if world is None:
        return {}
    return {
        "final_rewards": list(world.rewards.items()),
        "turn_rewards": [list(rewards.items()) for rewards in world.turn_rewards],
        "num_tool_calls": world.num_calls,
        "num_tool_errors": world.num_errors,
    }


def _token_columns(trajectory: Trajectory | None, learned: Learned | None, ends: Ends) -> dict[str, Any]:
    if trajectory is None:
        return {}
    if learned is not None and len(learned.logprobs) != trajectory.num_policy_tokens:
        learned = None  # of an earlier attempt at the same trajectory
    done, segments = 0, []
    for segment in trajectory.segments:
        columns = _segment_columns(segment) | {"token_ends": ends(segment.token_ids, segment.text)}
        if learned is not None and segment.kind == "policy":
            columns["learner_logprobs"] = learned.logprobs[done : done + len(segment.token_ids)]
            done += len(segment.token_ids)
        segments.append(columns)
    return {
        "response_text": trajectory.text,
        "learner_updates": learned.num_updates if learned is not None else None,
        "prompt_tokens": trajectory.prompt_token_ids,
        "segments": segments,
    }


def _outcome_columns(outcome: Outcome) -> dict[str, Any]:
    if isinstance(outcome, Unscorable):
        return {"outcome": "unscorable", "detail": outcome.reason, "rewards": []}
    if isinstance(outcome, ScoringFailed):
        kind = "reward_error" if outcome.failures else "infrastructure_error"
        return {"outcome": kind, "detail": outcome.reason, "rewards": []}
    return {
        "outcome": "scored",
        "label": outcome.label,
        "detail": "; ".join([*([outcome.detail] if outcome.detail else []), *map(str, outcome.failures)]),
        "tests": asdict(outcome.tests) if outcome.tests is not None else None,
        "reward": outcome.total,
        "rewards": list(outcome.parts.items()),
    }


def _segment_columns(segment: Segment) -> dict[str, Any]:
    columns = {
        "branch": segment.branch,
        "kind": segment.kind,
        "role": segment.role,
        "text": segment.text,
        "tokens": segment.token_ids,
        "tool": segment.tool,
        "stop": segment.stop,
    }
    if segment.kind == "context":
        return columns
    return columns | {
        "logprobs": segment.logprobs,
        "version": min((span.version for span in segment.versions), default=None),
        "versions": [{"version": span.version, "start": span.start, "end": span.end} for span in segment.versions],
    }


def _segment_of(row: SegmentRow) -> Segment:
    return Segment(
        kind=row["kind"],
        token_ids=np.array(row["tokens"], dtype=np.int32),
        logprobs=np.array(row["logprobs"] or [], dtype=np.float32),
        versions=tuple(VersionSpan(**span) for span in row["versions"] or ()),
        text=row["text"],
        branch=row["branch"],
        role=row["role"],
        tool=row["tool"],
        stop=row["stop"],
    )
