"""An agent learns to call its tool, over three seeds, and without the tool it does not: ``make test-long``."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from tests.real.running import metrics, only_run, r1ray

pytestmark = pytest.mark.long
RIGHT, CALLS = "eval/heldout/pass@1", "eval/heldout/tool_calls_mean"


def ran(folder: Path, *overrides: str) -> tuple[str, list[dict[str, float]]]:
    """Return what a run printed, and its metrics."""
    printed = r1ray("run", "experiment=calculator_agent", f"output_dir={folder}", *overrides, cwd=folder, timeout_s=900)
    print(printed)
    return printed, metrics(only_run(folder, "calculator_agent-"))


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_an_agent_learns_to_call_its_calculator(tmp_path: Path, seed: int) -> None:
    start = time.monotonic()
    printed, rows = ran(tmp_path, f"seed={seed}")
    seconds, before, after = time.monotonic() - start, rows[0], rows[-1]
    print(
        f"seed {seed}: {seconds:.0f} s, pass@1 {before[RIGHT]:.3f} -> {after[RIGHT]:.3f}, "
        f"calls {before[CALLS]:.2f} -> {after[CALLS]:.2f}"
    )
    assert before[RIGHT] <= 0.3 and after[RIGHT] >= 0.9
    assert before[CALLS] <= 0.3 and 0.95 <= after[CALLS] <= 1.1
    assert "diagnosis:" not in printed
    assert seconds < 600


def test_without_its_calculator_it_does_not(tmp_path: Path) -> None:
    _, rows = ran(tmp_path, "data.environment=null")
    print(f"without a tool: pass@1 {rows[0][RIGHT]:.3f} -> {rows[-1][RIGHT]:.3f}")
    assert rows[-1][RIGHT] < 0.4
    assert not any(CALLS in row for row in rows)
