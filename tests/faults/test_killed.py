"""Runs that lose processes which r1ray starts again, one after the other, by SIGKILL."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.faults.cells import QUICK, RUNS
from tests.faults.checks import meet_all
from tests.faults.selected import runs
from tests.faults.settings import IN_AGENTS, IN_WORLDS

pytestmark = [pytest.mark.real, pytest.mark.faults]


def test_a_run_goes_on_whatever_is_killed(tmp_path: Path, qwen_folder: Path, running_total: Path) -> None:
    meet_all(QUICK, tmp_path, qwen_folder, running_total)


@pytest.mark.long
@pytest.mark.parametrize("name", runs("killed while", "two at once"))
def test_a_run_goes_on(tmp_path: Path, qwen_folder: Path, running_total: Path, name: str) -> None:
    meet_all(RUNS[name], tmp_path, qwen_folder, running_total)


@pytest.mark.long
@pytest.mark.parametrize("name", runs("in worlds: killed"))
def test_a_run_in_worlds_goes_on(tmp_path: Path, qwen_folder: Path, running_total: Path, name: str) -> None:
    meet_all(RUNS[name], tmp_path, qwen_folder, running_total, *IN_WORLDS)


@pytest.mark.long
@pytest.mark.parametrize("name", runs("in agents: killed"))
def test_a_run_of_agents_goes_on(tmp_path: Path, qwen_folder: Path, running_total: Path, name: str) -> None:
    meet_all(RUNS[name], tmp_path, qwen_folder, running_total, *IN_AGENTS)
