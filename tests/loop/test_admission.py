"""No group gets too old, whatever finishes when, and waiting always ends."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from r1ray.loop.admission import choose_batch


def test_the_oldest_ready_groups_go_first() -> None:
    started = {"a": 1, "b": 0, "c": 1, "d": 0}
    assert choose_batch(["a", "b", "c", "d"], started, version=1, max_staleness=1, size=2) == ["b", "d"]


def test_a_step_waits_for_a_group_that_would_be_too_old_for_the_next() -> None:
    started = {"slow": 0, "a": 1, "b": 1}
    assert choose_batch(["a", "b"], started, version=1, max_staleness=1, size=2) is None
    assert choose_batch(["a", "b", "slow"], started, version=1, max_staleness=1, size=2) == ["slow", "a"]


def test_a_step_looks_further_ahead_than_the_next() -> None:
    """Four groups of version 0 would be left for one last step of two: one of them has to go now."""
    started = {"s1": 0, "s2": 0, "s3": 0, "s4": 0, "a": 1, "b": 1}
    assert choose_batch(["a", "b"], started, version=1, max_staleness=2, size=2) is None


def test_on_policy_a_step_waits_for_all() -> None:
    assert choose_batch(["a"], {"a": 0, "b": 0}, version=0, max_staleness=0, size=2) is None
    assert choose_batch(["b", "a"], {"a": 0, "b": 0}, version=0, max_staleness=0, size=2) == ["b", "a"]


@given(st.integers(0, 4), st.integers(1, 4), st.randoms(use_true_random=False))
def test_under_any_order_of_finishing_every_group_is_trained_in_time(
    max_staleness: int, size: int, rng: random.Random
) -> None:
    started: dict[str, int] = {f"0.{i}": 0 for i in range((max_staleness + 1) * size)}
    ready: list[str] = []
    for version in range(12):
        while (batch := choose_batch(ready, started, version=version, max_staleness=max_staleness, size=size)) is None:
            running = sorted(set(started) - set(ready))
            if not running:
                pytest.fail("everything is ready, and still the step waits")
            ready.append(rng.choice(running))
        for name in batch:
            assert version - started.pop(name) <= max_staleness
            ready.remove(name)
        started |= {f"{version + 1}.{i}": version + 1 for i in range(size)}
