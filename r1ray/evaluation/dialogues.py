"""Dialogues to learn from, one for each branch of a trajectory in an environment: messages, tools, calls and results.

Trajectory.conversations --dialogues_of--> {"messages", "tools", "token_ids", "is_learned", ...} --> samples.jsonl
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field

from r1ray.data.template import Message
from r1ray.turns import Conversation, ToolCall
from r1ray.turns import Message as Said
from r1ray.types import Trajectory


@dataclass(frozen=True, slots=True, kw_only=True)
class SampledDialogue:
    """One branch. Its messages are in the form of :func:`r1ray.data.messages.messages_of`; turns of earlier branches
    have the weight 0."""

    messages: list[Message]
    tools: str
    """JSON; empty: none."""
    token_ids: list[int]
    """Tokens that the engine was given and sampled."""
    turn_ends: list[list[int]]
    """Beginning and end of each of the policy's turns in ``token_ids``."""
    is_whole: bool
    """True if the policy ended each of its turns itself."""
    num_given: int
    """Number of messages before the policy's first turn."""
    problems: list[str] = field(default_factory=list)
    """Problems of the policy's calls."""


def dialogues_of(trajectory: Trajectory) -> tuple[SampledDialogue, ...]:
    """Return the dialogue of each branch; empty for a trajectory without an environment."""
    branches = zip(trajectory.conversations, trajectory.branches, strict=True) if trajectory.conversations else ()
    made = []
    for said, segments in branches:
        ids, ends = trajectory.prompt_token_ids.tolist(), []
        for segment in segments:
            begin = len(ids)
            ids += segment.token_ids.tolist()
            ends += [[begin, len(ids)]] if segment.kind == "policy" else []
        problems = [call.problem for each in said.messages[said.num_given :] for call in each.calls if call.problem]
        made.append(
            SampledDialogue(
                messages=_messages(said),
                tools=json.dumps(list(said.tools), ensure_ascii=False) if said.tools else "",
                token_ids=ids,
                turn_ends=ends,
                is_whole=said.is_whole and len(said.turns) == len(ends),
                num_given=said.num_given,
                problems=problems,
            )
        )
    return tuple(made)


def _messages(said: Conversation) -> list[Message]:
    turns = iter(said.turns)
    made = []
    for number, each in enumerate(said.messages):
        message = _message(each)
        if each.role == "assistant":
            message |= {"weight": "0"} if number < said.num_given else {"written": next(turns)}
        made.append(message)
    return made


def _message(said: Said) -> Message:
    message = {"role": said.role, "content": said.content}
    if said.reasoning:
        message["reasoning_content"] = said.reasoning
    if calls := [_call(call) for call in said.calls if not call.problem]:
        message["tool_calls"] = json.dumps(calls, ensure_ascii=False)
    named = {"name": said.tool, "tool_call_id": said.call_id} if said.role == "tool" else {}
    return message | {key: value for key, value in named.items() if value}


def _call(call: ToolCall) -> dict[str, object]:
    named = {"id": call.id} if call.id else {}
    return {"type": "function", **named, "function": {"name": call.name, "arguments": dict(call.arguments)}}
