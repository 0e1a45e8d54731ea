"""A pretrained model learns to use a code interpreter: ``make test-long``."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.real.running import metrics, only_run, r1ray

pytestmark = [pytest.mark.long, pytest.mark.needs("smollm2")]
RIGHT, CALLS = "eval/heldout/pass@1", "eval/heldout/tool_calls_mean"


def test_a_pretrained_model_learns_to_use_an_interpreter(tmp_path: Path) -> None:
    printed = r1ray("run", "experiment=python_agent", f"output_dir={tmp_path}", cwd=tmp_path, timeout_s=3600)
    print(printed)
    rows = [row for row in metrics(only_run(tmp_path, "python_agent-") / "stages" / "reinforced") if RIGHT in row]
    for row in rows:
        print(f"step {row['step']}: pass@1 {row[RIGHT]:.3f}, calls {row[CALLS]:.2f}")
    assert rows[-1][RIGHT] > rows[0][RIGHT] + 0.2 and rows[-1][CALLS] > rows[0][CALLS]
