"""JSON output: one turn, whose text has to be JSON that fits the row's schema.

The reward part is ``json``: 1 if it is, otherwise 0. The answer is the text after the reasoning, without a fence around
it. The schema (column ``schema``, an object or its JSON text, Draft 2020-12 by default) is given in a system message.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from r1ray.data.json_text import parse
from r1ray.environments.tools.json_schema import JsonSchema, json_schema
from r1ray.errors import UnscorableError
from r1ray.reward.extract import after_think, answer_section
from r1ray.turns import Action, Done, Message, Observation
from r1ray.types import Prompt

COLUMNS = ("schema", "json_schema")
MAX_CHARS = 1_000_000
_FENCE = re.compile(r"```(?:json)?[ \t]*\n(.*?)\n?```", re.DOTALL | re.IGNORECASE)


class JsonOutput:
    """One turn, judged by a schema."""

    def __init__(self, *, show_schema: bool = True) -> None:
        """Use ``show_schema=False`` if prompts describe the required output themselves."""
        self._show_schema = show_schema
        self._schema = JsonSchema({})

    def row_problem(self, prompt: Prompt) -> str | None:
        """Return the reason why a row cannot be used; None if it can."""
        try:
            json_schema(_schema_of(prompt.columns))
        except ValueError as error:
            return f"its schema is invalid: {error}"
        return None

    async def reset(self, prompt: Prompt, seed: int) -> Observation:
        """Return the prompt, after a description of the required output. Raises UnscorableError."""
        try:
            schema = _schema_of(prompt.columns)
            self._schema = json_schema(schema)
        except ValueError as error:
            raise UnscorableError(f"row {prompt.id}: its schema is invalid: {error}") from error
        messages = prompt.messages or (Message("user", prompt.text),)
        return Observation(messages=_asked(schema, messages) if self._show_schema else messages)

    async def step(self, action: Action) -> Done:
        """Judge the text of the turn."""
        label, detail = self._judged(answer_of(action.content))
        return Done(rewards={"json": float(label == "valid")}, label=label, detail=detail)

    async def close(self) -> None: ...

    def _judged(self, text: str) -> tuple[str, str]:
        try:
            value = parse(text) if len(text) <= MAX_CHARS else None
        except ValueError as error:
            return "no_json", str(error)[:300]
        if len(text) > MAX_CHARS:
            return "no_json", f"longer than {MAX_CHARS} characters"
        problem = self._schema.problem(value)
        return ("valid", "") if problem is None else ("invalid", problem)


def answer_of(text: str) -> str:
    """Return the part of a text that has to be JSON.

    >>> answer_of('<think>an object</think> ```json\\n{}\\n```')
    '{}'
    """
    rest = after_think(text).strip()
    answer = answer_section(rest)
    rest = rest if answer is None else answer
    fenced = _FENCE.fullmatch(rest)
    return rest if fenced is None else fenced[1]


def _schema_of(columns: Mapping[str, Any]) -> Any:
    """Return the schema of a row. Raises ValueError."""
    name = next((name for name in COLUMNS if columns.get(name) is not None), None)
    if name is None:
        raise ValueError(f"the row has no column {' or '.join(COLUMNS)}")
    value = columns[name]
    return parse(value) if isinstance(value, str) else value


def _asked(schema: Any, messages: tuple[Message, ...]) -> tuple[Message, ...]:
    """Return a conversation whose system message ends with a description of the required output."""
    asked = f"Answer with JSON of this schema, and nothing else:\n{json.dumps(schema, ensure_ascii=False)}"
    if messages[0].role == "system":
        return (Message("system", f"{messages[0].content}\n\n{asked}"), *messages[1:])
    return (Message("system", asked), *messages)
