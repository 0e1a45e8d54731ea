"""Conversion of results of a world's methods to observations and ends that can be sent: texts, finite numbers,
bounded."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import TypeVar, get_args

from r1ray.errors import EnvironmentFailed
from r1ray.reward.own_result import NotANumber, number_of, shortened
from r1ray.turns import Done, Message, Observation, Role, ToolCall
from r1ray.types import Prompt

MAX_CHARACTERS = 1_000_000
"""Longest text sent by a world; ``environment.max_context_tokens`` cuts it further."""
Answer = TypeVar("Answer", Observation, Done)


def begun(value: object, prompt: Prompt, *, name: str) -> Observation:
    """Return the result of ``reset`` as an observation: None stands for the prompt's own conversation, and a text is
    its user message."""
    if value is None:
        value = prompt.messages
    if isinstance(value, str):
        value = [*(each for each in prompt.messages[:1] if each.role == "system"), Message("user", value)]
    found = _observation(value)
    if found is None or not found.messages:
        raise _failed(
            name,
            "reset",
            value,
            "an Observation, a text, a list of Message(role, content), or None for the prompt's own",
        )
    return _checked(found, name=name, method="reset")


def answered(value: object, *, name: str) -> Observation | Done:
    """Return the result of ``step`` as an observation or an end."""
    if isinstance(value, Done):
        return _checked(value, name=name, method="step")
    found = _observation(value)
    if found is None:
        raise _failed(
            name, "step", value, "an Observation, a text, a list of Message(role, content), or Done(rewards={...})"
        )
    return _checked(found, name=name, method="step")


def _observation(value: object) -> Observation | None:
    if isinstance(value, Observation):
        return value
    if isinstance(value, str):
        return Observation(messages=(Message("user", value),))
    if isinstance(value, Message):
        return Observation(messages=(value,))
    if isinstance(value, list | tuple) and all(isinstance(each, Message) for each in value):
        return Observation(messages=tuple(value))
    return None


def _checked(found: Answer, *, name: str, method: str) -> Answer:
    """Return the same with plain numbers and bounded texts. Raises EnvironmentFailed for invalid numbers, texts or
    messages."""
    if (problem := _problem(found)) is not None:
        raise EnvironmentFailed(f"environment {name}: {method} {problem}", f"{method} {problem.partition(':')[0]}")
    rewards = _numbers(found.rewards, name, method)
    if isinstance(found, Done):
        turn_rewards = _numbers(found.turn_rewards, name, method)
        return replace(
            found, rewards=rewards, turn_rewards=turn_rewards, detail=shortened(found.detail, MAX_CHARACTERS)
        )
    return replace(found, rewards=rewards, messages=tuple(map(_bounded, found.messages)), tools=tuple(found.tools))


def _failed(name: str, method: str, value: object, needs: str) -> EnvironmentFailed:
    kind = f"{method} returned {'None' if value is None else f'a {type(value).__name__}'}"
    return EnvironmentFailed(f"environment {name}: {method} returned {_shown(value)}; needs {needs}", kind)


def _shown(value: object) -> str:
    try:
        return shortened(repr(value), 100)
    except Exception:  # an object of the user's
        return f"a {type(value).__name__}"


def _problem(found: Observation | Done) -> str | None:
    """Return the problem of a value that cannot be sent, with its specific part after a colon; None if there is
    none."""
    if isinstance(found.num_errors, bool) or not isinstance(found.num_errors, int):
        return f"returned num_errors that are no whole number: {_shown(found.num_errors)}"
    if isinstance(found, Done):
        texts = {"label": found.label, "detail": found.detail}
        wrong = [name for name, text in texts.items() if not _is_text(text)]
        return f"returned a {wrong[0]} that is no text in UTF-8: {_shown(texts[wrong[0]])}" if wrong else None
    for each in found.messages if isinstance(found.messages, list | tuple) else (None,):
        if not isinstance(each, Message) or each.role not in get_args(Role):
            return f"returned a message that is no Message with one of the roles: {_shown(each)}"
        said = (each.content, each.reasoning, each.tool, each.call_id)
        if not all(map(_is_text, said)):
            return f"returned a message that is no text in UTF-8: {_shown(said)}"
        if not isinstance(each.calls, tuple) or not all(isinstance(call, ToolCall) for call in each.calls):
            return f"returned a message whose calls are no ToolCalls: {_shown(each.calls)}"
    if not isinstance(found.tools, list | tuple) or not all(_is_tool(each) for each in found.tools):
        return f"returned tools that are not in the form of OpenAI's: {_shown(found.tools)}"
    return None


def _is_text(value: object) -> bool:
    if not isinstance(value, str):
        return False
    return value.isascii() or not any("\ud800" <= letter <= "\udfff" for letter in value)


def _is_tool(value: object) -> bool:
    function = value.get("function") if isinstance(value, Mapping) else None
    try:
        json.dumps(value)
    except (TypeError, ValueError, RecursionError):
        return False
    return isinstance(function, Mapping) and isinstance(function.get("name"), str)


def _bounded(message: Message) -> Message:
    return replace(message, content=shortened(message.content, MAX_CHARACTERS))


def _numbers(rewards: object, name: str, method: str) -> dict[str, float]:
    if not isinstance(rewards, Mapping):
        raise _failed(name, method, rewards, "rewards by the names of parts")
    try:
        return {str(part): number_of(value, of=f"a reward {part}=") for part, value in rewards.items()}
    except NotANumber as error:
        raise EnvironmentFailed(f"environment {name}: {method} {error}", f"{method} returned {error.what}") from error
