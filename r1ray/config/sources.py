"""Values of keys that name the user's rows: a text (a file, a folder, a glob, an address), or several.

>>> texts_of(["a.jsonl", "more/"]), texts_of({"aime": "a.jsonl", "math": ["b.jsonl", "c.jsonl"]})
(['a.jsonl', 'more/'], ['a.jsonl', 'b.jsonl', 'c.jsonl'])
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, TypeAlias

Source: TypeAlias = str | list[str]
"""Paths of one table of rows."""
HELD_OUT = "heldout"
"""The name of held-out rows whose paths give none."""
DOMAIN, ENVIRONMENT = "domain", "environment"
"""Above the metrics of a domain, and of an environment: no set may have such a name."""
SET_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*")


def texts_of(value: Any) -> list[str]:
    """Return every text of a value, in order; none of None."""
    if value is None:
        return []
    if isinstance(value, Mapping):
        return [text for each in value.values() for text in texts_of(each)]
    return [str(text) for text in value] if isinstance(value, list | tuple) else [str(value)]


def check_source(key: str, value: Any) -> None:
    """Raise ValueError for what is neither a text nor a list of texts."""
    if isinstance(value, str) or (isinstance(value, list) and value and all(isinstance(each, str) for each in value)):
        return
    raise ValueError(f"{key}={value}: needs a path, or a list of paths.")


def check_sets(key: str, value: Any) -> None:
    """Raise ValueError for what is neither a source nor an object of several, whose names go into those of metrics."""
    if not isinstance(value, Mapping):
        return check_source(key, value)
    if not value:
        raise ValueError(f"{key}={{}}: needs a path for each name, {{aime: PATH, math: PATH}}.")
    for name, source in value.items():
        if not SET_NAME.fullmatch(str(name)) or name in (DOMAIN, ENVIRONMENT):
            raise ValueError(
                f"{key}.{name}: needs a name of letters, digits, _, - and dots, which is neither {DOMAIN} nor "
                f"{ENVIRONMENT}."
            )
        check_source(f"{key}.{name}", source)


def name_of(value: Any) -> str:
    """Return the name of held-out rows among the metrics: that of their file; "" of several named sets.

    >>> name_of("data/math_500.test.jsonl"), name_of("held_out/"), name_of("hf://openai/gsm8k:main/test")
    ('math_500', 'held_out', 'gsm8k')
    """
    if value is None or isinstance(value, Mapping):
        return ""
    if not isinstance(value, str):
        return HELD_OUT
    path = value.partition("://")[2] if "://" in value else value
    if value.startswith("hf://"):
        path = re.split("[@:]", path)[0]
    last = path.rstrip("/").rpartition("/")[2].partition(".")[0]
    return last if last and not set(last) & set("*?[") else HELD_OUT
