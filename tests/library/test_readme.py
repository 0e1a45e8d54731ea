"""The examples of r1ray/library/README.md do what they say."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import r1ray
from tests.library.test_saved_run import planted
from tests.test_layering import ROOT

EXAMPLES = re.findall(r"^```python\n(.*?)^```$", (ROOT / "library/README.md").read_text(), re.DOTALL | re.MULTILINE)


def test_the_example_of_scoring_runs(capsys: pytest.CaptureFixture[str]) -> None:
    exec(EXAMPLES[0], {})
    assert capsys.readouterr().out == "[1.5, 0.0]\n"


def test_the_example_of_reading_a_run_reads_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    planted(tmp_path / "runs/first", steps=20)
    monkeypatch.chdir(tmp_path)
    lines = [line for line in EXAMPLES[1].splitlines() if not line.startswith("run = r1ray.run(")]
    assert len(lines) == len(EXAMPLES[1].splitlines()) - 1
    exec("\n".join(lines), {"r1ray": r1ray})
    assert capsys.readouterr().out == "2.0\n40 1 [2, 10]\n"


@pytest.mark.real
@pytest.mark.long
def test_the_example_of_a_run_runs(tmp_path: Path) -> None:
    program = tmp_path / "example.py"
    program.write_text(EXAMPLES[1])
    environment = os.environ | {"PYTHONPATH": str(ROOT.parent)}
    command = [sys.executable, str(program)]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=1500)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-4000:]
    assert re.fullmatch(r"\d+ \d+ \[20\]", done.stdout.splitlines()[-1])
