"""JSON from clients: parsed within bounds, or refused."""

from __future__ import annotations

import json
from typing import Any

MAX_DEPTH = 64
"""Largest depth of a schema, or of arguments, because chat templates and parsers descend into them."""
MAX_SHOWN = 80


def parsed(text: bytes | str) -> Any:
    """Return the value of a JSON text. Raises ValueError with a short reason if it is not JSON, or not UTF-8."""
    try:
        value = json.loads(text, parse_constant=_no_constant)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    except UnicodeDecodeError:
        raise ValueError("it is no text in UTF-8") from None
    except json.JSONDecodeError as error:
        raise ValueError(f"{error.msg} at character {error.pos + 1}") from None
    if "\\u" in text if isinstance(text, str) else b"\\u" in text:  # may be half of a character
        try:
            json.dumps(value, ensure_ascii=False).encode()
        except UnicodeEncodeError:
            raise ValueError("it has half of a character (a lone surrogate)") from None
    return value


def is_deep(value: object, *, levels: int = MAX_DEPTH) -> bool:
    """Return whether plain data has more than ``levels`` levels."""
    level = [value]
    while levels and level:
        below: list[object] = []
        for each in level:
            if isinstance(each, dict):
                below += each.values()
            elif isinstance(each, list):
                below += each
        level, levels = below, levels - 1
    return bool(level)


def shown(value: object) -> str:
    """Return a value as shown in a sentence."""
    text = json.dumps(value) if not is_deep(value) else "..."
    return text if len(text) <= MAX_SHOWN else f"{text[:MAX_SHOWN]}..."


def _no_constant(name: str) -> float:
    raise ValueError(f"{name} is no number of JSON")
