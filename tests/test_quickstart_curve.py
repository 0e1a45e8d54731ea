"""The curve that the README promises, over three seeds: ``make test-long``."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from tests.real.running import metrics, only_run, r1ray

pytestmark = pytest.mark.long


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_r1_zeros_curve_rises(tmp_path: Path, seed: int) -> None:
    start = time.monotonic()
    printed = r1ray(
        "run", "experiment=quickstart", f"seed={seed}", f"output_dir={tmp_path}", cwd=tmp_path, timeout_s=900
    )
    print(printed)
    seconds = time.monotonic() - start
    rows = metrics(only_run(tmp_path, "quickstart-"))
    before, after = ({k.removeprefix("eval/heldout/"): v for k, v in row.items()} for row in (rows[0], rows[-1]))
    print(f"seed {seed}: {seconds:.0f} s, pass@1 {before['pass@1']:.3f} -> {after['pass@1']:.3f}")
    assert 0.15 <= before["pass@1"] <= 0.25
    assert after["pass@1"] >= 0.71
    assert after["cons@16"] >= 0.86
    assert after["length_mean"] >= 1.5 * before["length_mean"]
    assert after["format"] >= 0.99
    assert "diagnosis:" not in printed
    assert seconds < 600
