"""Chat messages in the forms of data sets, converted to one form of texts.

    {role, content} | {from, value} --messages_of--> {"role", "content"}
                                                     and of an answer: "reasoning_content", "tool_calls" (JSON),
                                                     "written" (all of it, as a policy wrote it), "weight" (only "0")
                                                     and of a tool's reply: "name", "tool_call_id"

Missing essentials are never guessed: a row with images is malformed, and a row with an empty turn is unusable.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from r1ray.data.checks import MalformedRow, UnusableRow
from r1ray.data.template import Message, Question
from r1ray.data.tool_calls import calls_of, json_of

ROLES = {
    "human": "user",
    "prompter": "user",
    "gpt": "assistant",
    "chatgpt": "assistant",
    "bing": "assistant",
    "bard": "assistant",
    "bot": "assistant",
    "model": "assistant",
    "function_call": "assistant",
    "observation": "tool",
    "function": "tool",
    "ipython": "tool",
}
"""Roles by the names that data sets give them. Other names are kept."""
REASONING = ("reasoning_content", "reasoning", "thinking", "thoughts", "think")
"""Keys of a message, and columns of a row, that hold the reasoning before the answer."""
SWITCHES = frozenset({"on", "off", "true", "false", "yes", "no", "none"})
"""Values of such a column that only say whether there is reasoning."""
WEIGHTLESS = (0, "0")
"""Values of ``weight``, a key of OpenAI's format, in answers that are shown but not learned from."""
MEDIA = ("image", "images", "video", "videos", "audio", "audios")
OPENING, CLOSING = "<think>", "</think>"
_ABSENT = object()
_TURN = re.compile(r"\n\n(Human|Assistant):[ \n]?")
_EXTRA_TURN = re.compile(r"\s*<extra_id_1>(User|Assistant)\n")
_SPEAKERS = {"Human": "user", "User": "user", "Assistant": "assistant"}


def refuse_media(row: Mapping[str, Any]) -> None:
    """Raise MalformedRow if a row has images, video or sound."""
    for column in MEDIA:
        if row.get(column):
            raise MalformedRow(f"it has {column}, and r1ray trains on text alone: needs rows without {column}")


# ---------------------------------------------------------------------- messages


def messages_of(value: Any, column: str) -> list[Message]:
    """Return the messages of a column: a list, one message, or either as JSON text.

    Raises:
        MalformedRow: the value is none of these or has images.
        UnusableRow: a message has a part that is no text, or has no content.
    """
    found = json_of(value) if isinstance(value, str) else value
    found = [found] if isinstance(found, Mapping) else found
    if not isinstance(found, list) or not found:
        raise MalformedRow(f"{column} needs a list of {{role, content}} messages, found {value!r:.60}")
    return [_message(message, column) for message in found]


def _message(message: Any, column: str) -> Message:
    found: Mapping[str, Any] = message if isinstance(message, Mapping) else {}
    refuse_media(found)
    said = found.get("role") if found.get("role") is not None else found.get("from")
    calls = calls_of(found.get("tool_calls") or found.get("function_call"))
    content = next((found[key] for key in ("content", "value") if key in found), None if calls else _ABSENT)
    if not isinstance(said, str) or not (content is None or isinstance(content, str | list)):
        raise MalformedRow(f"{column} needs messages with a role and a text each, found {message!r:.60}")
    text, thought = _parts(content or "")
    role = ROLES.get(said, said)
    if role != "assistant":
        if content is None:
            raise UnusableRow(f"a message of the role {role:.20} has no content")
        named = {key: found[key] for key in ("name", "tool_call_id") if isinstance(found.get(key), str)}
        return {"role": role, "content": text} | (named if role == "tool" else {})
    if said == "function_call" and (in_text := calls_of(text)):
        text, calls = "", in_text
    answer: Message = {"role": role, "content": text} | ({"tool_calls": calls} if calls else {})
    answer |= {"written": found["written"]} if isinstance(found.get("written"), str) else {}
    answer |= {"weight": "0"} if found.get("weight") in WEIGHTLESS else {}
    thoughts = (thought, *(reasoning_of(found.get(key)) for key in REASONING))
    return with_reasoning(answer, next(filter(None, thoughts), ""))


def _parts(content: str | Sequence[Any]) -> tuple[str, str]:
    """Return the text of a content, and the reasoning that its own parts hold."""
    if isinstance(content, str):
        return content, ""
    texts: list[str] = []
    thoughts: list[str] = []
    for part in content:
        kind = part.get("type") if isinstance(part, Mapping) else None
        if isinstance(part, str):
            texts.append(part)
        elif any(medium in str(kind) for medium in ("image", "video", "audio")):
            raise MalformedRow(f"a message has a part of type {kind!s:.20}: r1ray trains on text alone")
        elif isinstance(part, Mapping) and isinstance(part.get("text"), str):
            texts.append(part["text"])
        elif isinstance(part, Mapping) and isinstance(part.get("thinking"), str | list):
            thoughts.append(_parts(part["thinking"])[0])
        else:
            raise UnusableRow(f"a message has a part of type {kind!s:.20}, which is no text")
    return "\n".join(texts), "\n".join(thoughts)


# ---------------------------------------------------------------------- reasoning


def reasoning_of(value: Any) -> str:
    """Return the reasoning before an answer, from one text or several; "" for values such as ``on`` and ``off``."""
    if isinstance(value, list) and all(isinstance(each, str) for each in value):
        value = "\n".join(value)
    if not isinstance(value, str) or value.strip().lower() in SWITCHES:
        return ""
    return value.strip().removeprefix(OPENING).removesuffix(CLOSING).strip()


def with_reasoning(answer: Message, reasoning: str) -> Message:
    """Return the answer with its reasoning, or unchanged if it has that already."""
    has_it = "reasoning_content" in answer or CLOSING in answer["content"] or reasoning in answer["content"]
    return answer if not reasoning or has_it else answer | {"reasoning_content": reasoning}


def flat(message: Message) -> Message:
    """Return the message with only role and content. Reasoning is put between <think> and </think> before the answer.

    Raises:
        UnusableRow: it calls tools, which only a chat template can write.
    """
    if "tool_calls" in message:
        raise UnusableRow("its tool calls need data.template=chat, and a chat template that shows them")
    thought, content = message.get("reasoning_content"), message["content"]
    written = f"{OPENING}\n{thought}\n{CLOSING}\n\n{content.lstrip()}" if thought else content
    return {"role": message["role"], "content": written}


# ---------------------------------------------------------------------- questions and answers


def text_of(value: Any, column: str) -> str:
    """Return a text, or a number as text; "" for no value. Raises MalformedRow for lists and objects."""
    if value is None or isinstance(value, str):
        return value or ""
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise MalformedRow(f"{column} needs a text, found {value!r:.60}")
    return "" if value != value else str(value)  # pandas writes an empty cell as NaN


def parsed(value: Any) -> Any:
    """Return the list in a text that is JSON of messages, and other values unchanged."""
    if not isinstance(value, str) or not value.lstrip().startswith("[{"):
        return value
    found = json_of(value)
    is_said = isinstance(found, list) and all(
        isinstance(each, Mapping) and bool({"role", "from"} & each.keys()) for each in found
    )
    return found if is_said else value


def question_of(value: Any, column: str) -> Question:
    """Return the question: a text, or the messages of a list, of JSON, or of a transcript."""
    value = parsed(value)
    if isinstance(value, str) and value.strip().strip(
        "-"
    ):  # OpenCodeReasoning has "-" for questions that it may not publish
        if value.startswith("\n\nHuman:"):
            return [message for message in transcript(value, column) if message["content"]]
        return _extra_turns(value) if "<extra_id_1>" in value else value
    if isinstance(value, list) and value:
        return messages_of(value, column)
    if value is None or isinstance(value, str):
        raise UnusableRow(f"{column} is empty")
    raise MalformedRow(f"{column} needs a string or chat messages, found {value!r:.60}")


def transcript(text: str, column: str) -> list[Message]:
    """Return the messages of Anthropic's hh-rlhf: ``\\n\\nHuman: ...\\n\\nAssistant: ...``."""
    parts = _TURN.split(text)
    if len(parts) < 3 or parts[0].strip():
        raise MalformedRow(
            f"{column} is a string without a prompt column: needs '\\n\\nHuman: ...\\n\\nAssistant: ...', found "
            f"{text!r:.60}"
        )
    turns = zip(parts[1::2], parts[2::2], strict=True)
    return [{"role": _SPEAKERS[who], "content": said.strip()} for who, said in turns]


def _extra_turns(text: str) -> list[Message]:
    """Return the messages of HelpSteer's prompts with several turns."""
    first, *parts = _EXTRA_TURN.split(text)
    turns = zip(parts[::2], parts[1::2], strict=True)
    return [
        {"role": "user", "content": first},
        *({"role": _SPEAKERS[who], "content": said} for who, said in turns if said),
    ]


def answer_of(value: Any, column: str) -> list[Message]:
    """Return an answer that is a text, or messages of the assistant with others between them."""
    value = parsed(value)
    if isinstance(value, list | Mapping):
        messages = messages_of(value, column)
        if messages[0]["role"] != "assistant":
            raise MalformedRow(f"{column} needs to begin with the assistant's turn, found {messages[0]['role']!r:.40}")
        return messages
    return [{"role": "assistant", "content": text_of(value, column)}]
