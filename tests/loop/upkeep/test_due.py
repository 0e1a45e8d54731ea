from __future__ import annotations

import time

import pytest

from r1ray.config import CheckpointConfig
from r1ray.loop.upkeep.due import Due


def due(config: CheckpointConfig, *, steps: int = 6) -> list[int]:
    """The steps that are due."""
    clock = Due(config)
    return [step for step in range(1, steps + 1) if clock.is_due(step, is_last=step == steps)]


def test_a_checkpoint_is_due_by_steps_and_at_the_end() -> None:
    assert due(CheckpointConfig(every=4)) == [4, 6]
    assert due(CheckpointConfig(every=0)) == []


def test_a_checkpoint_is_due_by_the_clock_and_at_the_end() -> None:
    assert due(CheckpointConfig(every=0, every_minutes=1000)) == [6]
    assert due(CheckpointConfig(every=0, every_minutes=0)) == [1, 2, 3, 4, 5, 6]


def test_whichever_is_due_first_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 0.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    clock = Due(CheckpointConfig(every=3, every_minutes=1))
    saved = []
    for step in range(1, 9):
        now += 25.0
        if clock.is_due(step, is_last=False):
            clock.note(step)
            saved.append(step)
    assert saved == [3, 6], "75 s are over with the third step"
    assert clock.is_saved(6) and not clock.is_saved(3)
    now += 61.0
    assert clock.is_due(10, is_last=False)
