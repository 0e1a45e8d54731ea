"""The step with which a run ends."""

from __future__ import annotations

import pytest

from r1ray.config import StopConfig
from r1ray.data.position import Position
from r1ray.loop.checkpoint import LoopState
from r1ray.loop.ledger import Ledger
from r1ray.loop.upkeep.progress import Progress

STOP = StopConfig(window=1, after=0, min_gain=0.1)


def lines(*rewards: float) -> list[dict[str, float]]:
    return [{"step": float(step), "reward/mean": reward} for step, reward in enumerate(rewards, 1)]


def state(version: int) -> LoopState:
    return LoopState(version, version, version, Position(), Ledger().state())


def test_a_run_ends_with_its_last_step() -> None:
    progress = Progress(3, StopConfig(), state=state(3), history=lines(0.1, 0.1, 0.1))
    assert progress.is_done and progress.metrics() == {}


def test_the_step_after_a_plateau_is_the_last_one() -> None:
    progress = Progress(9, STOP, state=state(2), history=lines(0.1, 0.15))
    assert progress.ends_on_plateau() and not progress.is_done
    progress.advance()
    assert progress.is_done and progress.metrics() == {"stop/plateau": 1.0}


@pytest.mark.parametrize(("steps", "rewards"), [(9, (0.1, 0.4)), (3, (0.1, 0.1))])
def test_neither_a_rise_nor_the_last_step_is_a_plateau(steps: int, rewards: tuple[float, ...]) -> None:
    progress = Progress(steps, STOP, state=state(2), history=lines(*rewards))
    assert not progress.ends_on_plateau()
    assert progress.last == steps


def test_a_run_that_ended_on_a_plateau_is_done_when_it_is_resumed() -> None:
    assert Progress(9, STOP, state=state(3), history=lines(0.1, 0.15, 0.9)).is_done
    assert not Progress(9, STOP, state=state(3), history=lines(0.1, 0.3, 0.9)).is_done


def test_a_step_that_goes_back_leaves_its_versions_behind() -> None:
    progress = Progress(9, StopConfig(), state=state(2), history=lines(0.1, 0.2))
    progress.advance()
    progress.history += [{"step": 3.0}]
    progress.newest = 4  # it was sent, and nobody knows how far
    progress.go_back(state(2))
    assert (progress.step, progress.version, progress.newest) == (2, 6, 6), "one step is undone"
    assert [line["step"] for line in progress.history][-1] == 2.0
    progress.go_back(None)
    assert (progress.step, progress.updates, progress.version) == (0, 0, 9)
