"""Prompts of the examples, in r1ray's own layout."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, Protocol, TypeVar

import pyarrow as pa
import pyarrow.parquet as pq


class Task(Protocol):
    """A question with its right answer."""

    @property
    def text(self) -> str: ...

    @property
    def answer(self) -> int: ...


T = TypeVar("T", bound=Task)


def distinct(sample: Callable[[], T], count: int) -> list[T]:
    """Return ``count`` tasks with different texts."""
    found: dict[str, T] = {}
    while len(found) < count:
        task = sample()
        found.setdefault(task.text, task)
    return list(found.values())


def math_row(
    task: Task, prompt: str, *, name: str | None = None, domain: str = "math", language: str = "en"
) -> dict[str, Any]:
    """Return the row of a task; by default its name is its text."""
    return {
        "id": name or task.text,
        "prompt": prompt,
        "check": {"type": "math", "answer": str(task.answer)},
        "domain": domain,
        "language": language,
    }


def write_rows(path: Path, rows: Iterable[Mapping[str, Any]]) -> None:
    """Write rows as Parquet."""
    pq.write_table(pa.Table.from_pylist(list(rows)), path)
