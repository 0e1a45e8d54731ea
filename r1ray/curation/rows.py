"""Rows of a curated data set: their columns, their digest, and their Parquet files.

    DatasetRow --write_parts--> part-00000.parquet, ... --read_rows--> DatasetRow

``r1ray.data.sft_layouts`` reads the columns ``id`` and ``messages``: a part is a file of supervised data.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import pyarrow.parquet as pq

from r1ray.data.checks import MalformedRow, UnusableRow
from r1ray.data.dialogues import recognise
from r1ray.data.sft_layouts import EXAMPLES
from r1ray.data.template import Message
from r1ray.runtime.files import written_aside

_BATCH_ROWS: Final = 1024
_KEYS: Final = ("role", "content", "reasoning_content", "tool_calls", "name", "tool_call_id", "weight", "written")
"""Keys of messages: see :mod:`r1ray.data.messages`."""
_MESSAGES: Final = recognise(frozenset(["messages"]), EXAMPLES)
SCHEMA: Final = pa.schema(
    [
        ("id", pa.string()),
        ("messages", pa.list_(pa.struct([(key, pa.string()) for key in _KEYS]))),
        ("tools", pa.string()),
        ("source", pa.string()),
        ("domain", pa.string()),
        ("language", pa.string()),
        ("licence", pa.string()),
        ("stage", pa.string()),
        ("reward", pa.float64()),
        ("num_tokens", pa.int64()),
        ("prompt_id", pa.string()),
    ]
)


@dataclass(frozen=True, slots=True, kw_only=True)
class DatasetRow:
    """One dialogue to learn from, and its origin."""

    id: str
    messages: tuple[Message, ...]
    source: str
    domain: str
    language: str
    licence: str
    stage: str
    """Stage of the recipe that made it."""
    reward: float | None
    """Reward; None if nothing judged it."""
    num_tokens: int
    """Tokens of the answers."""
    prompt_id: str
    tools: str = ""
    """Offered tools, as JSON; empty: none."""


def row_digest(row: DatasetRow) -> bytes:
    """Return the SHA-256 of a row as canonical JSON, with the types that it has in the file."""
    reward = None if row.reward is None else float(row.reward)
    columns = asdict(row) | {"reward": reward, "num_tokens": int(row.num_tokens)}
    if not row.tools:
        del columns["tools"]
    text = json.dumps(columns, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    return hashlib.sha256(text.encode()).digest()


def content_digest(digests: Iterable[bytes]) -> str:
    """Return the SHA-256 over the rows' digests in sorted order: the same for the same rows, whatever their order and
    parts."""
    whole = hashlib.sha256()
    for digest in sorted(digests):
        whole.update(digest)
    return whole.hexdigest()


def write_parts(
    rows: Iterable[DatasetRow], folder: Path, *, rows_per_part: int, look: Callable[[DatasetRow], None]
) -> list[Path]:
    """Write the rows in order; each part is written aside, then renamed. There is at least one part, even without rows.

    Args:
        look: is called with each row as it is written.

    Raises:
        ValueError: a row that the learner could not read, or a reward that is not a number.
    """
    folder.mkdir(parents=True, exist_ok=True)
    remaining = iter(rows)
    parts: list[Path] = []
    following = next(remaining, None)
    while following is not None or not parts:
        head = () if following is None else (following,)
        part = folder / f"part-{len(parts):05d}.parquet"
        with written_aside(part) as aside, pq.ParquetWriter(aside, SCHEMA, compression="zstd") as writer:
            ours = itertools.islice(itertools.chain(head, remaining), rows_per_part)
            while batch := list(itertools.islice(ours, _BATCH_ROWS)):
                for row in batch:
                    _check(row)
                    look(row)
                writer.write_batch(pa.RecordBatch.from_pylist([asdict(row) for row in batch], schema=SCHEMA))
        parts.append(part)
        following = next(remaining, None)
    return parts


def read_rows(folder: Path) -> Iterator[DatasetRow]:
    """Yield the rows of every part in a folder."""
    for part in sorted(folder.glob("part-*.parquet")):
        for batch in pq.ParquetFile(part).iter_batches(batch_size=_BATCH_ROWS):
            for row in batch.to_pylist():
                yield _row(row)


def _row(columns: dict[str, Any]) -> DatasetRow:
    messages = ({key: text for key, text in each.items() if text is not None} for each in columns["messages"])
    return DatasetRow(**columns | {"messages": tuple(messages)})


def _check(row: DatasetRow) -> None:
    """Check a row with the learner's own reader. Raises ValueError."""
    assert _MESSAGES is not None
    if row.reward is not None and not math.isfinite(row.reward):
        raise ValueError(f"row {row.id}: the reward is {row.reward}, and has to be a finite number or None.")
    if any(not {"role", "content"} <= message.keys() <= set(_KEYS) for message in row.messages):
        raise ValueError(f"row {row.id}: messages have {', '.join(_KEYS)} and nothing else.")
    try:
        _MESSAGES.read({"id": row.id, "messages": list(row.messages), "tools": row.tools}, 0)
    except (MalformedRow, UnusableRow) as error:
        raise ValueError(f"row {row.id}: {error}.") from error
