"""A turn as the client of a call is told it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from uuid import uuid4

from r1ray.endpoint.answers import Answer
from r1ray.endpoint.json_text import is_deep, parsed
from r1ray.endpoint.messages import SaidCall
from r1ray.rollout.call_tree import Call
from r1ray.turns import Action, ToolCall


def tellable(call: ToolCall) -> ToolCall:
    """Return a call; one whose arguments cannot travel as JSON is malformed: halves of characters, numbers without
    end."""
    if call.problem:
        return call
    try:
        arguments = json.dumps(call.arguments, allow_nan=False)
        problem = "its arguments are nested too deeply" if is_deep(parsed(arguments)) else ""
    except (ValueError, RecursionError) as error:
        problem = f"{error}"
    return replace(call, arguments={}, problem=f"The call is malformed: {problem}.") if problem else call


def answer_of(action: Action, call: Call, stop: Sequence[str]) -> Answer:
    """Return a turn as its client is told it: malformed calls are text."""
    malformed = [each.text for each in action.calls if each.problem]
    calls = [each for each in action.calls if not each.problem]
    content = "\n".join(each for each in (action.content, *malformed) if each)
    for each in stop:
        content = content.partition(each)[0]
    assert call.turn is not None
    return Answer(
        content=content,
        reasoning=action.reasoning,
        calls=tuple(SaidCall(f"call_{uuid4().hex[:24]}", each.name, json.dumps(each.arguments)) for each in calls),
        reason="length" if not action.is_whole else "tool_calls" if calls else "stop",
        prompt_tokens=len(call.given),
        completion_tokens=call.turn.num_policy_tokens,
    )
