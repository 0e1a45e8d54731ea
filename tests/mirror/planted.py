"""A run folder that changes as that of a run does, and what is compared of two of them."""

from __future__ import annotations

from pathlib import Path

from r1ray.mirror.scan import scan
from r1ray.runtime.files import move_away, written_aside
from r1ray.telemetry.metrics import append_row, rewind_rows

BIG = 300_000
"""Bytes of a checkpoint's file: several parts of the tests' size."""


def step(folder: Path, number: int, *, keep: int = 2) -> None:
    """Write what a step of a run writes, a checkpoint among it."""
    with written_aside(folder / "config.yaml") as aside:
        aside.write_text(f"steps: {number}\n")
    append_row(folder / "metrics.jsonl", {"step": number, "reward/mean": number / 10})
    with written_aside(folder / "rollouts" / f"step={number:06d}.parquet") as aside:
        aside.write_bytes(bytes([number]) * 2000)
    checkpoint(folder, number)
    for old in sorted(int(path.name) for path in (folder / "checkpoints").iterdir() if path.name.isdigit())[:-keep]:
        for path in sorted(move_away(folder / "checkpoints" / str(old)).rglob("*"), reverse=True):
            path.unlink() if path.is_file() else path.rmdir()
        (folder / "checkpoints" / f".removing-{old}").rmdir()


def checkpoint(folder: Path, number: int, *, salt: int = 0) -> None:
    """Write a checkpoint of a step; ``salt`` changes its content."""
    with written_aside(folder / "checkpoints" / str(number)) as aside:
        (aside / "learner").mkdir(parents=True)
        (aside / "controller.json").write_text(f'{{"step": {number}, "salt": {salt}}}')
        (aside / "learner" / "state.pt").write_bytes(bytes([number, salt, 7]) * (BIG // 3))


def back_to(folder: Path, number: int) -> None:
    """Forget the lines after a step, as a run does that goes on from it."""
    rewind_rows(folder / "metrics.jsonl", number)


def contents(folder: Path) -> dict[str, bytes]:
    """Return the files of a run folder that are copied."""
    return {path: (folder / path).read_bytes() for path in scan(folder)}
