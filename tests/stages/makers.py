"""A maker for the prepare stage."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path


def make(out_dir: Path, *, seed: int, log: Callable[[str], None], word: str) -> None:
    assert not (out_dir / "made.txt").exists()
    (out_dir / "made.txt").write_text(f"{word} {seed}")
