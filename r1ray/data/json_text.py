"""JSON of the user's files, read so that what it holds can be written again.

>>> parse('{"answer": 1, "answer": 2}')
Traceback (most recent call last):
    ...
ValueError: the key 'answer' is there twice
"""

from __future__ import annotations

import json
from typing import Any


def parse(text: str | bytes) -> Any:
    """Return the value of a JSON text. Raises ValueError where it is none, is nested too deeply, has a key twice, or
    holds half of a surrogate pair, which no file can."""
    try:
        value = json.loads(text, object_pairs_hook=_once)
        if (b"\\ud" if isinstance(text, bytes) else "\\ud") in text.lower():  # type: ignore[operator]
            json.dumps(value, ensure_ascii=False).encode()
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error
    except UnicodeEncodeError as error:
        raise ValueError(f"{error.object[error.start]!r} is half of a surrogate pair, and no character") from error
    return value


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        raise ValueError(f"the key {next(name for name in names if names.count(name) > 1)!r} is there twice")
    return found
