"""Rows as public data sets have them: two for each entry of the table of layouts, with what is right and wrong.

The columns are those of the data set's card, or of a peer that loads it; ``source`` says where they were looked up. The
texts are the project's own.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Published:
    layout: str
    """Name of the entry, or how it begins."""
    name: str
    source: str
    rows: tuple[Mapping[str, Any], Mapping[str, Any]]
    right: tuple[str, str]
    """A response to each row that is paid."""
    wrong: tuple[str, str]
    shows: tuple[str, ...] = ()
    """Texts that the first question has to show beside its own."""


def answer(text: str) -> str:
    return f"<think>Let me see.</think> <answer>{text}</answer>"


def program(source: str) -> str:
    return f"<think>Let me see.</think> <answer>\n```python\n{source}\n```\n</answer>"
