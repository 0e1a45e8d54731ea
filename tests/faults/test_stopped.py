"""Runs that lose processes which r1ray starts again, one after the other, by SIGSTOP: they answer nobody any more."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.faults.cells import RUNS
from tests.faults.checks import meet_all
from tests.faults.selected import runs
from tests.faults.settings import IN_AGENTS, IN_WORLDS

pytestmark = [pytest.mark.real, pytest.mark.faults, pytest.mark.long]


@pytest.mark.parametrize("name", runs("stopped while"))
def test_a_run_goes_on(tmp_path: Path, qwen_folder: Path, running_total: Path, name: str) -> None:
    # Who is stopped while it starts is found when the time for that is over; two engines, one after the other.
    soon = ["deadlines.start_s=120"] if {cell.phase for cell in RUNS[name]} == {"starting"} else []
    meet_all(RUNS[name], tmp_path, qwen_folder, running_total, *soon)


@pytest.mark.parametrize("name", runs("in worlds: stopped"))
def test_a_run_in_worlds_goes_on(tmp_path: Path, qwen_folder: Path, running_total: Path, name: str) -> None:
    meet_all(RUNS[name], tmp_path, qwen_folder, running_total, *IN_WORLDS)


@pytest.mark.parametrize("name", runs("in agents: stopped"))
def test_a_run_of_agents_goes_on(tmp_path: Path, qwen_folder: Path, running_total: Path, name: str) -> None:
    meet_all(RUNS[name], tmp_path, qwen_folder, running_total, *IN_AGENTS)
