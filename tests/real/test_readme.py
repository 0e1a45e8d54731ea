"""Commands of the README that take more than ten seconds, as they stand there. (``test_quickstart_curve.py`` and
``test_r1_quickstart.py`` run the two quickstarts.)"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.real.running import metrics, r1ray

pytestmark = [pytest.mark.real, pytest.mark.long]
README = (Path(__file__).parents[2] / "README.md").read_text()


def test_a_tiny_model_learns_to_write_programs(tmp_path: Path) -> None:
    assert "`r1ray run experiment=tiny_programs` shows code RL" in README
    printed = r1ray("run", "experiment=tiny_programs", "name=programs", f"output_dir={tmp_path}", cwd=tmp_path)
    print(printed[-2000:])
    rows = [row for row in metrics(tmp_path / "programs") if any(name.endswith("/pass@1") for name in row)]
    (name,) = (name for name in rows[0] if name.endswith("/pass@1"))
    assert rows[0][name] < 0.5 < 0.8 < rows[-1][name]


def test_the_quickstart_is_found_fit_for_this_machine(tmp_path: Path) -> None:
    assert "    r1ray doctor [" in README
    printed = r1ray("doctor", "experiment=quickstart", f"output_dir={tmp_path}", cwd=tmp_path)
    assert "red" not in {line.split()[0] for line in printed.splitlines() if line.strip()}
