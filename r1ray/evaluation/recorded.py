"""Recorded trajectories as input of ``r1ray score``: rows of a rollout log, and responses that are conversations.

{"id", "check", "response": [message, ...], "environment"?, "final_rewards"?, "turn_rewards"?}
a row of rollouts/step=000123.parquet
    --> the response to be judged, and the environment's account of it
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

from r1ray.data.checks import MalformedRow
from r1ray.telemetry.rollout_rows import RolloutRow, trajectory_of
from r1ray.turns import InEnvironment
from r1ray.types import Response, trajectory_id

OF_A_LOG = frozenset({"group_id", "trajectory", "segments", "status"})
"""Columns by which a rollout log is recognised."""


def id_of(row: Mapping[str, Any]) -> Any:
    """Return the name of a row; in a rollout log, the name of its trajectory."""
    if row.keys() >= OF_A_LOG:
        return trajectory_id(str(row["group_id"]), row["trajectory"])
    return row.get("id")


def as_given(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return a row of a rollout log with the columns that ``r1ray score`` reads; other rows unchanged. Raises
    MalformedRow for a row without its trajectory."""
    if not row.keys() >= OF_A_LOG:
        return dict(row)
    if row.get("outcome") == "removed" or not row["segments"]:
        raise MalformedRow(f"its trajectory is missing: {row.get('detail') or row.get('dropped_reason') or 'removed'}")
    check: object = {"type": "format"}
    if row.get("answer") is not None:
        check = {"type": "math", "answer": row["answer"]}
    elif not row.get("environment"):
        check = None
    given = {"id": id_of(row), "check": check, "prompt": row.get("prompt_text")}
    return given | {name: value for name, value in row.items() if name != "id"}


def response_of(row: Mapping[str, Any]) -> tuple[Response, InEnvironment | None]:
    """Return the response to be judged (of several turns, the last one) and its environment's account. Raises
    MalformedRow."""
    if row.keys() >= OF_A_LOG:
        trajectory = trajectory_of(cast(RolloutRow, row))
        last = trajectory.policy_segments[-1]
        in_world = trajectory.world is not None
        text, num_tokens = (last.text, len(last.token_ids)) if in_world else (trajectory.text, row["num_policy_tokens"])
        return Response(text, trajectory.is_ended, num_tokens=num_tokens), trajectory.world
    given = row.get("response")
    text = given if isinstance(given, str) else _last_turn(given)
    return Response(text, finished=row.get("finished") is not False), _world_of(row)


def _last_turn(given: object) -> str:
    """Return the policy's last text in a conversation."""
    messages = given if isinstance(given, list) else []
    if not messages or not all(isinstance(each, dict) for each in messages):
        raise MalformedRow(f"response needs a string, or a list of messages, found {str(given)[:60]!r}")
    said = [each.get("content") for each in messages if each.get("role") == "assistant"]
    if not said:
        raise MalformedRow("response needs a message of the role assistant")
    if not isinstance(said[-1], str | None):
        raise MalformedRow(f"response: its last message of the assistant needs a text, found {str(said[-1])[:60]!r}")
    return said[-1] or ""


def _world_of(row: Mapping[str, Any]) -> InEnvironment | None:
    name = row.get("environment")
    if name is None:
        return None
    if not isinstance(name, str):
        raise MalformedRow(f"environment needs a name, found {str(name)[:60]!r}")
    turns = row.get("turn_rewards") or []
    if not isinstance(turns, list):
        raise MalformedRow(f"turn_rewards needs a list of objects, found {str(turns)[:60]!r}")
    return InEnvironment(
        name=name,
        rewards=_numbers("final_rewards", row.get("final_rewards") or {}),
        turn_rewards=tuple(_numbers("turn_rewards", each) for each in turns),
    )


def _numbers(key: str, given: object) -> dict[str, float]:
    if not isinstance(given, dict):
        raise MalformedRow(f"{key} needs an object of numbers, found {str(given)[:60]!r}")
    found = {str(name): value for name, value in given.items() if value is not None}  # Parquet adds missing keys
    for name, value in found.items():
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise MalformedRow(f"{key}.{name} needs a number, found {str(value)[:60]!r}")
    return {name: float(value) for name, value in found.items()}
