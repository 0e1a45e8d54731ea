"""The environments that the first rows of a file name: made, reset and closed here, and shown to the chat template."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from r1ray.config import RunConfig
from r1ray.conversation import ConversationSettings
from r1ray.data.layouts import RawPrompt
from r1ray.data.template import Form
from r1ray.doctor.findings import DRIVER, Finding
from r1ray.doctor.judging import green, red
from r1ray.errors import R1RayError
from r1ray.stages.worlds import RunWorlds
from r1ray.turns import ToolSchema
from r1ray.types import Prompt


def check_worlds(
    config: RunConfig, name: str, worlds: RunWorlds, rows: Sequence[tuple[RawPrompt, Prompt]], tokenizer: Any
) -> list[Finding]:
    """Return a finding for each environment of some rows, but for those that a run leaves out.

    Args:
        name: of the file, behind its key.
        tokenizer: of the model that is asked; None: it is not there.
    """
    longest_first = sorted(rows, key=lambda row: sum(len(each.content) for each in row[1].messages), reverse=True)
    shortest = {raw.environment: prompt for raw, prompt in longest_first if raw.environment}
    counts = Counter(raw.environment for raw, _ in rows)
    is_train = name.startswith("data.train=")
    asked = sorted(each for each in shortest if not (is_train and worlds.is_left_out(each)))
    return [
        _checked(config, name, worlds, shortest[each], counts[each], tokenizer, says=each == asked[0]) for each in asked
    ]


def _checked(
    config: RunConfig,
    name: str,
    worlds: RunWorlds,
    prompt: Prompt,
    count: int,
    tokenizer: Any,
    *,
    says: bool,
) -> Finding:
    said = f"{prompt.environment}, of {count} of the first rows of {name}"
    needed = "that it is made, begins, answers and closes"
    try:
        begun = worlds.try_out([prompt])
    except R1RayError as error:
        return red("environment", DRIVER, f"{said}: {error}", needed, "mend the environment, or what it needs.")
    said = f"{said}: begins{_shown(begun[prompt.environment].tools)}"
    if tokenizer is None:
        return green("environment", DRIVER, said, needed)
    try:
        settings = ConversationSettings.of(config.environment, Form.of(config.data), model=str(config.model))
        limit = config.data.max_prompt_tokens
        worlds.check_conversations(tokenizer, begun, settings, max_prompt_tokens=limit, says=says)
    except R1RayError as error:
        return red("environment", DRIVER, f"{said}; {error}", needed, "see left.")
    return green("environment", DRIVER, said, needed)


def _shown(tools: Sequence[ToolSchema]) -> str:
    calls = [_call(tool.get("function", {})) for tool in tools]
    return f", and offers {', '.join(calls)}" if calls else ""


def _call(function: Mapping[str, Any]) -> str:
    """Return a tool as one would call it.

    >>> _call({"name": "add", "parameters": {"properties": {"a": {}, "b": {}}}})
    'add(a, b)'
    """
    properties = (function.get("parameters") or {}).get("properties") or {}
    return f"{function.get('name')}({', '.join(properties)})"
