"""Rows of the rollout log: one a trajectory, with its segments as a list. Pure functions.

    GroupRecord, Trajectory  --rows_of-->  RolloutRow  --trajectory_of-->  Trajectory

What the engine saw in a branch is ``prompt_tokens`` followed by the tokens of the branch's segments.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal, TypedDict

import numpy as np
import pyarrow as pa

from r1ray.checks import MathAnswer
from r1ray.types import (
    GroupRecord,
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
        ("outcome", pa.string()),
        ("label", pa.string()),
        ("detail", pa.string()),
        ("advantage", pa.float64()),
        ("status", pa.string()),
        ("num_policy_tokens", pa.int32()),
        ("num_context_tokens", pa.int32()),
        ("num_turns", pa.int32()),
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
    kind: Literal["policy", "context"]
    """What follows "policy" below is None of a context segment."""
    role: str
    text: str
    tokens: list[int]
    logprobs: list[float] | None
    """Policy: log pi_old of each token, as sampled."""
    learner_logprobs: list[float] | None
    """Policy: the learner's own, where they were computed."""
    version: int | None
    """Policy: the one that sampled its oldest token."""
    versions: list[dict[str, int]] | None
    """Policy: :class:`r1ray.types.VersionSpan` s."""
    tool: str
    stop: str


class RolloutRow(TypedDict, total=False):
    """One trajectory. A group that was dropped before anything of it arrived is a row without one: what does not come
    from the prompt is None."""

    step: int
    stage: str
    group_id: str
    prompt_id: str
    trajectory: int
    """Its index in the group."""
    environment: str | None
    """None where nothing answered the policy."""
    domain: str
    language: str
    prompt_text: str
    response_text: str
    answer: str | None
    """The reference, of prompts whose check has one."""
    extracted: str | None
    group_status: str
    """``trained``; ``uniform``: not trained on, because its rewards are all equal; ``dropped``."""
    dropped_reason: str | None
    reward: float | None
    rewards: dict[str, float]
    """By the names of the parts, with what has no weight."""
    outcome: str
    """``scored``, ``unscorable``, ``infrastructure_error``, ``reward_error``: masked, because a reward function failed;
    or ``removed``: for the reason in ``detail``."""
    label: str | None
    detail: str | None
    """Text for people, with what reward functions raised."""
    advantage: float | None
    """None where the trajectory was not trained on."""
    status: Status
    num_policy_tokens: int
    num_context_tokens: int
    num_turns: int
    num_branches: int
    versions: dict[str, int]
    seconds: dict[str, float | None]
    """``generate`` is None where the trajectory is gone with the worker that held it."""
    prompt_tokens: list[int]
    segments: list[SegmentRow]


def rows_of(
    step: int, stage: str, record: GroupRecord, trajectories: Mapping[str, Trajectory]
) -> Iterator[dict[str, Any]]:
    """Yield the rows of a group, with numpy arrays for lists of tokens.

    Args:
        trajectories: by id; of one that is gone, with the worker that held it, the row has no text and no tokens.
    """
    columns, group = _group_columns(step, stage, record), record.group
    if group is None:
        yield columns
        return
    for scored, advantage in zip(group.trajectories, record.advantages, strict=True):
        trajectory = trajectories.get(trajectory_id(record.group_id, scored.index))
        yield columns | _scored_columns(scored, trajectory) | _token_columns(trajectory) | {"advantage": advantage}
    for removed in group.removed:
        trajectory = trajectories.get(trajectory_id(record.group_id, removed.index))
        yield columns | _removed_columns(removed, trajectory) | _token_columns(trajectory)


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
    )


def _group_columns(step: int, stage: str, record: GroupRecord) -> dict[str, Any]:
    prompt = record.prompt
    return {
        "step": step,
        "stage": stage,
        "group_id": record.group_id,
        "prompt_id": prompt.id,
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
        "seconds": _seconds(trajectory, reward_s=scored.seconds),
    }


def _removed_columns(removed: Removed, trajectory: Trajectory | None) -> dict[str, Any]:
    return {
        "trajectory": removed.index,
        "outcome": "removed",
        "detail": removed.reason,
        "rewards": [],
        "status": "aborted",
        "num_policy_tokens": removed.num_policy_tokens,
        "seconds": _seconds(trajectory, reward_s=0.0),
    }


def _seconds(trajectory: Trajectory | None, *, reward_s: float) -> dict[str, float | None]:
    generate_s = trajectory.seconds if trajectory is not None else None
    return {"generate": generate_s, "environment": 0.0, "reward": reward_s}


def _token_columns(trajectory: Trajectory | None) -> dict[str, Any]:
    if trajectory is None:
        return {}
    return {
        "response_text": trajectory.text,
        "prompt_tokens": trajectory.prompt_token_ids,
        "segments": [_segment_columns(segment) for segment in trajectory.segments],
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
