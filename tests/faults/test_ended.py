"""Runs on one machine that lose what upholds them, again and again: each time the same command goes on."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from r1ray.cluster.head_watch import RECONNECT
from r1ray.runtime.exit_codes import FAULT
from tests.faults.cells import RUNS, Cell
from tests.faults.checks import check, check_is_ended
from tests.faults.faulty_run import FaultyRun
from tests.faults.selected import runs

pytestmark = [pytest.mark.real, pytest.mark.faults, pytest.mark.long]
FEW = ("rollout.num_actors=1", "reward.num_actors=1", "cluster.group_workers=0")
"""Runs that start again and again have few actors; none of those is lost by itself."""
RAYS_OWN = 1
"""Ray ends a process itself whose connection to its raylet breaks, at once and without a word."""


def lose_in_turn(run: FaultyRun, cells: Sequence[Cell], *last: str, codes: Sequence[int]) -> None:
    """Start the run, have it end by a fault in one phase after the other, and then go on to its end, with ``last``."""
    for cell in cells:
        run.start()
        run.meet(cell)
        assert run.ended() in codes, run.printed[-4000:]
        check_is_ended(run)
    run.gates.pace(0)
    run.gates.end()
    run.start(*last)
    assert run.ended() == 0, run.printed[-4000:]
    check(run)


@pytest.mark.parametrize("name", runs("driver killed"))
def test_driver_killed(tmp_path: Path, llama_folder: Path, running_total: Path, name: str) -> None:
    """A Llama-style model with untied embeddings, under ZeRO-3; one rank then goes on with what two have saved."""
    own = (*FEW, "learner.zero_stage=3", "data.max_prompt_tokens=64")
    with FaultyRun(tmp_path, llama_folder, running_total, *own) as run:
        lose_in_turn(run, RUNS[name], "learner.num_ranks=1", codes=[-9])


@pytest.mark.parametrize("name", runs("raylet", "GCS"))
def test_ray_killed(tmp_path: Path, qwen_folder: Path, running_total: Path, name: str) -> None:
    """The command ends by itself, with a sentence where Ray lets it say one."""
    with FaultyRun(tmp_path, qwen_folder, running_total, *FEW, "learner.num_ranks=1") as run:
        run.env[RECONNECT] = "30"  # a head has a minute to come back, where nobody says otherwise
        codes = [FAULT, RAYS_OWN] if name.startswith("raylet") else [FAULT]
        lose_in_turn(run, RUNS[name], codes=codes)
        assert "Traceback" not in run.printed


@pytest.mark.parametrize("name", runs("stopped for a moment"))
def test_stopped_for_a_moment(tmp_path: Path, qwen_folder: Path, running_total: Path, name: str) -> None:
    """Five seconds: a machine that swaps, a debugger. The run goes on."""
    cells = RUNS[name]
    with FaultyRun(tmp_path, qwen_folder, running_total) as run:
        run.start()
        for cell in cells:
            run.meet(cell, go_on_after_s=5.0)
        assert run.finish() == 0, run.printed[-4000:]
        check(run)
