"""``r1ray chat`` on the real Ray and vLLM."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.real.running import environment

pytestmark = [pytest.mark.real, pytest.mark.long]


def chat(*arguments: str, cwd: Path, typed: str = "") -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "r1ray", "chat", *arguments],
        cwd=cwd,
        env=environment(),
        input=typed,
        capture_output=True,
        text=True,
        timeout=400,
    )


def test_once_prints_the_answer_alone_and_the_same_one_again(qwen_folder: Path, tmp_path: Path) -> None:
    words = [str(qwen_folder), "max_tokens=8", "temperature=0", "--once", "1+2="]
    first, again = chat(*words, cwd=tmp_path), chat(*words, cwd=tmp_path)
    assert first.returncode == 0, first.stderr[-4000:]
    assert first.stdout.strip() and first.stdout == again.stdout
    assert "r1ray: starting an engine" in first.stderr and list(tmp_path.iterdir()) == []


def test_lines_of_another_program_are_answered_one_by_one(qwen_folder: Path, tmp_path: Path) -> None:
    done = chat(str(qwen_folder), "max_tokens=8", cwd=tmp_path, typed=f"1+2=\n{'1+' * 300}\n/new\n3+4=\n")
    assert done.returncode == 0, done.stderr[-4000:]
    assert "ask a shorter one" in done.stderr and len(done.stdout.splitlines()) >= 2
