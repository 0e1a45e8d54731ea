"""Checked calls of the chat completions.

A client's sampling settings are ignored, except the length limit and stop strings. Settings that would constrain
sampling are refused, because the log-probabilities used in training would be those of another distribution.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from r1ray.endpoint.json_text import is_deep, parsed, shown
from r1ray.endpoint.messages import Said, said_of
from r1ray.endpoint.refusals import Refused, invalid
from r1ray.turns import ToolSchema

MODEL = "policy"
"""Name of the only model."""
MAX_STOPS, MAX_STOP_CHARS = 16, 256


def _is_empty(value: object) -> bool:
    return not value


def _is_zero(value: object) -> bool:
    return value == 0


def _is_one(value: object) -> bool:
    return value == 1


FREE: Mapping[str, Callable[[Any], bool]] = {
    "tool_choice": lambda value: value in ("auto", "none"),
    "response_format": lambda value: isinstance(value, dict) and value.get("type") == "text",
    "modalities": lambda value: value == ["text"],
    "add_generation_prompt": lambda value: value is True,
    **dict.fromkeys(("n", "best_of", "repetition_penalty", "length_penalty"), _is_one),
    **dict.fromkeys(("presence_penalty", "frequency_penalty", "min_tokens"), _is_zero),
    **dict.fromkeys(("logit_bias", "bad_words", "allowed_token_ids", "logits_processors"), _is_empty),
    **dict.fromkeys(
        ("guided_json", "guided_regex", "guided_choice", "guided_grammar", "structured_outputs"), _is_empty
    ),
    **dict.fromkeys(("ignore_eos", "use_beam_search", "echo", "continue_final_message"), _is_empty),
    **dict.fromkeys(("functions", "function_call", "audio", "truncate_prompt_tokens"), _is_empty),
}
"""Fields that constrain sampling, or the text that it continues, with the values that do not. null never does."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ChatCall:
    """A valid call."""

    messages: tuple[Said, ...]
    tools: tuple[ToolSchema, ...] = ()
    reads_calls: bool = True
    """True if tool calls are parsed in the answer; False if they are left as text (``tool_choice=none``)."""
    max_tokens: int | None = None
    stop: tuple[str, ...] = ()
    streams: bool = False
    wants_usage: bool = False
    """True if a stream ends with the numbers of tokens."""

    @property
    def num_chars(self) -> int:
        """Return a lower bound of the number of characters to read."""
        said = sum(len(each.content) + sum(len(call.arguments) for call in each.calls) for each in self.messages)
        return said + (len(json.dumps(self.tools)) if self.tools else 0)


def chat_call(body: bytes) -> ChatCall:
    """Return the call in a request's body. Raises Refused."""
    try:
        value = parsed(body)
    except ValueError as error:
        raise Refused(400, "invalid_json", f"The body is no JSON: {error}.") from None
    if not isinstance(value, dict):
        raise Refused(400, "invalid_request", f"The body needs to be an object, found {shown(value)}.")
    if (model := value.get("model")) != MODEL:
        raise Refused(404, "model_not_found", f"model={shown(model)}: there is {MODEL} alone.", "model")
    _check_free(value)
    options = value.get("stream_options")
    tools = _tools(value.get("tools"))
    return ChatCall(
        messages=_messages(value.get("messages")),
        tools=tools,
        reads_calls=bool(tools) and value.get("tool_choice") != "none",
        max_tokens=_max_tokens(value),
        stop=_stop(value.get("stop")),
        streams=_flag(value, "stream"),
        wants_usage=isinstance(options, dict) and _flag(options, "include_usage"),
    )


def _check_free(value: Mapping[str, Any]) -> None:
    for key, is_free in FREE.items():
        if (found := value.get(key)) is not None and not is_free(found):
            raise Refused(
                400,
                "constrained_sampling",
                f"{key}={shown(found)}: what the policy samples is learned from, so that nothing may constrain it; "
                "leave it out.",
                key,
            )


def _messages(value: object) -> tuple[Said, ...]:
    if not isinstance(value, list) or not value:
        raise invalid("messages", f"needs a list of messages, found {shown(value)}")
    return tuple(said_of(each, f"messages[{number}]") for number, each in enumerate(value))


def _tools(value: object) -> tuple[ToolSchema, ...]:
    if value is None:
        return ()
    if not isinstance(value, list):
        raise invalid("tools", f"needs a list, found {shown(value)}")
    if is_deep(value):
        raise invalid("tools", "is nested too deeply")
    return tuple(_tool(each, f"tools[{number}]") for number, each in enumerate(value))


def _tool(value: object, place: str) -> ToolSchema:
    """Return a tool in the form of chat templates, without other fields of the client."""
    function = value.get("function") if isinstance(value, dict) else None
    if not isinstance(value, dict) or value.get("type") != "function" or not isinstance(function, dict):
        raise invalid(place, f'needs {{"type": "function", "function": {{...}}}}, found {shown(value)}')
    name, text, schema = function.get("name"), function.get("description"), function.get("parameters")
    if not isinstance(name, str) or not name:
        raise invalid(f"{place}.function.name", f"needs a name, found {shown(name)}")
    if text is not None and not isinstance(text, str):
        raise invalid(f"{place}.function.description", f"needs a text, found {shown(text)}")
    schema = {"type": "object", "properties": {}} if schema is None else schema
    if not isinstance(schema, dict) or not _are_schemas(schema.get("properties")):
        raise invalid(f"{place}.function.parameters", f"needs the JSON schema of an object, found {shown(schema)}")
    return {"type": "function", "function": {"name": name, "description": text or "", "parameters": schema}}


def _are_schemas(properties: object) -> bool:
    """Return whether the properties are schemas, as the parsers of calls need."""
    if properties is None:
        return True
    return isinstance(properties, dict) and all(isinstance(each, dict) for each in properties.values())


def _max_tokens(value: Mapping[str, Any]) -> int | None:
    asked = []
    for key in ("max_tokens", "max_completion_tokens"):
        if (found := value.get(key)) is None:
            continue
        if isinstance(found, bool) or not isinstance(found, int) or found < 1:
            raise invalid(key, f"needs a whole number of at least 1, found {shown(found)}")
        asked.append(found)
    return min(asked, default=None)


def _stop(value: object) -> tuple[str, ...]:
    texts = [value] if isinstance(value, str) else [] if value is None else value
    if not isinstance(texts, list) or len(texts) > MAX_STOPS:
        raise invalid("stop", f"needs a text, or a list of {MAX_STOPS} texts at most, found {shown(value)}")
    if not all(isinstance(each, str) and 0 < len(each) <= MAX_STOP_CHARS for each in texts):
        raise invalid("stop", f"needs texts of 1 to {MAX_STOP_CHARS} characters, found {shown(value)}")
    return tuple(texts)


def _flag(value: Mapping[str, Any], key: str) -> bool:
    found = value.get(key)
    if found is not None and not isinstance(found, bool):
        raise invalid(key, f"needs true or false, found {shown(found)}")
    return bool(found)
