"""Simulated steps beside those that were published for hundreds of GPUs: the table of the README."""

from __future__ import annotations

from pathlib import Path

import pytest

from r1ray.simulation.result import simulate
from tests.simulation.published import MODELS, ROWS, Row, plan_of

README = Path(__file__).parents[2] / "r1ray" / "simulation" / "README.md"
CHOSEN = {model: next(row for row in ROWS if row.model == model) for model in MODELS}
"""Of each model the row that chose its learner's efficiency."""
OUTSIDE = {"v3-512-1"}
"""Rows that the model does not have within 30 %; the README says why."""


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_a_published_step_is_simulated(row: Row, tmp_path: Path) -> None:
    step_s = simulate(plan_of(row, tmp_path), num_steps=4).step_s
    ratio = step_s / row.step_s
    if row is CHOSEN[row.model]:
        assert ratio == pytest.approx(1.0, abs=0.02)
    elif row.name in OUTSIDE:
        assert ratio > 1.3, "the README calls it outside"
    else:
        assert 0.7 <= ratio <= 1.3
    (line,) = [line for line in README.read_text().splitlines() if line.startswith(f"| {row.name} |")]
    published, simulated, shown = (cell.strip() for cell in line.split("|")[3:6])
    assert float(published) == row.step_s
    assert float(simulated) == pytest.approx(step_s, rel=0.02)
    assert float(shown) == pytest.approx(ratio, abs=0.02)
