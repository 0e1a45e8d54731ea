"""The rollout log: one Parquet file a step, with every group that was trained or dropped in it; and reflection.jsonl,
one line a step on how often its trained groups re-evaluate."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from r1ray.checks import MathAnswer
from r1ray.runtime.files import written_aside
from r1ray.telemetry.metrics import append_row, read_rows, rewind_rows
from r1ray.telemetry.reflection import measure_step
from r1ray.types import Completion, GroupRecord, Prompt, Scored

REFLECTION = "reflection.jsonl"
SCHEMA = pa.schema(
    [
        ("step", pa.int32()),
        ("occurrence", pa.string()),
        ("fate", pa.string()),
        ("prompt_id", pa.string()),
        ("prompt", pa.string()),
        ("answer", pa.string()),
        ("domain", pa.string()),
        ("language", pa.string()),
        ("index", pa.int32()),
        ("text", pa.string()),
        ("finish_reason", pa.string()),
        ("extracted", pa.string()),
        ("outcome", pa.string()),
        ("verdict", pa.string()),
        ("detail", pa.string()),
        ("reward", pa.float64()),
        ("reward_parts", pa.map_(pa.string(), pa.float64())),
        ("advantage", pa.float64()),
        ("prompt_token_ids", pa.list_(pa.int32())),
        ("token_ids", pa.list_(pa.int32())),
        ("logprobs", pa.list_(pa.float32())),
        ("versions", pa.list_(pa.struct([("version", pa.int32()), ("start", pa.int32()), ("end", pa.int32())]))),
    ]
)


def reflection_rows(folder: Path) -> list[dict[str, Any]]:
    """What a rollout log in ``folder`` measured so far, a row a step: see
    :func:`r1ray.telemetry.reflection.measure_step`."""
    return read_rows(folder / REFLECTION)


class RolloutLog:
    """Writes ``<folder>/step=000123.parquet``; each file is written aside, then renamed."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True)

    def write(
        self,
        step: int,
        records: Sequence[GroupRecord],
        num_chunks: Sequence[int],
        *chunks: tuple[Completion, ...],
        name: str = "step",
    ) -> Path:
        """Write a step's groups. ``chunks`` holds the completions of all records, ``num_chunks[i]`` of them of record
        i, in the order of its verdicts. Returns ``<folder>/<name>=000123.parquet``; only steps are measured."""
        remaining = iter(chunks)
        groups = [
            (record, [completion for _ in range(count) for completion in next(remaining)])
            for record, count in zip(records, num_chunks, strict=True)
        ]
        rows = [row for record, completions in groups for row in _rows(step, record, completions)]
        path = self._folder / f"{name}={step:06d}.parquet"
        with written_aside(path) as aside:
            pq.write_table(pa.Table.from_pylist(rows, schema=SCHEMA), aside, compression="zstd")
        trained = [(record, completions) for record, completions in groups if record.fate == "trained"]
        if trained and name == "step":
            append_row(self._folder / REFLECTION, measure_step(step, trained))
        return path

    def rewind(self, step: int) -> None:
        """Remove the files and lines after ``step``: a resumed run writes them again."""
        rewind_rows(self._folder / REFLECTION, step)
        for path in self._folder.glob("step=*.parquet"):
            if int(path.stem.removeprefix("step=")) > step:
                path.unlink()


def _rows(step: int, record: GroupRecord, completions: Sequence[Completion]) -> Iterator[dict[str, Any]]:
    prompt = record.prompt
    for completion, verdict, advantage in zip(completions, record.verdicts, record.advantages, strict=True):
        outcome = verdict.outcome
        yield {
            "step": step,
            "occurrence": record.occurrence,
            "fate": record.fate,
            **_prompt_columns(prompt),
            "index": completion.index,
            "text": completion.text,
            "finish_reason": completion.finish_reason,
            "extracted": verdict.extracted,
            "outcome": "scored" if isinstance(outcome, Scored) else f"{type(outcome).__name__}: {outcome.reason}",
            "verdict": outcome.verdict if isinstance(outcome, Scored) else None,
            "detail": outcome.detail if isinstance(outcome, Scored) else None,
            "reward": outcome.total if isinstance(outcome, Scored) else None,
            "reward_parts": list(outcome.parts.items()) if isinstance(outcome, Scored) else [],
            "advantage": advantage,
            "prompt_token_ids": completion.prompt_token_ids,
            "token_ids": completion.token_ids,
            "logprobs": completion.logprobs,
            "versions": [{"version": s.version, "start": s.start, "end": s.end} for s in completion.versions],
        }
    if not completions:  # a group that was dropped before anything of it arrived
        yield {"step": step, "occurrence": record.occurrence, "fate": record.fate, **_prompt_columns(prompt)}


def _prompt_columns(prompt: Prompt) -> dict[str, Any]:
    return {
        "prompt_id": prompt.id,
        "prompt": prompt.text,
        "answer": prompt.check.answer if isinstance(prompt.check, MathAnswer) else None,
        "domain": prompt.domain,
        "language": prompt.language,
    }
