"""No group gets too old, whatever finishes when, and waiting always ends."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from r1ray.loop.admission import Admission


def admission(
    began: Mapping[str, int], ready: Sequence[str], *, max_staleness: int, size: int, surplus: int = 0
) -> Admission:
    made = Admission(max_staleness=max_staleness, size=size, surplus=surplus)
    for group_id, version in began.items():
        made.begin(group_id, version)
    for group_id in ready:
        made.ready(group_id)
    return made


def test_the_oldest_ready_groups_go_first() -> None:
    began = {"a": 1, "b": 0, "c": 1, "d": 0}
    assert admission(began, ["a", "b", "c", "d"], max_staleness=1, size=2).choose(1) == ["b", "d"]


def test_a_step_waits_for_a_group_that_would_be_too_old_for_the_next() -> None:
    began = {"slow": 0, "a": 1, "b": 1}
    assert admission(began, ["a", "b"], max_staleness=1, size=2).choose(1) is None
    assert admission(began, ["a", "b", "slow"], max_staleness=1, size=2).choose(1) == ["slow", "a"]


def test_a_step_looks_further_ahead_than_the_next() -> None:
    """Four groups of version 0 would be left for one last step of two: one of them has to go now."""
    began = {"s1": 0, "s2": 0, "s3": 0, "s4": 0, "a": 1, "b": 1}
    assert admission(began, ["a", "b"], max_staleness=2, size=2).choose(1) is None


def test_on_policy_a_step_waits_for_all() -> None:
    assert admission({"a": 0, "b": 0}, ["a"], max_staleness=0, size=2).choose(0) is None
    assert admission({"a": 0, "b": 0}, ["b", "a"], max_staleness=0, size=2).choose(0) == ["b", "a"]


def test_a_surplus_is_left_behind_and_too_old_then() -> None:
    made = admission({"a": 0, "slow": 0, "b": 0}, ["a", "b"], max_staleness=0, size=2, surplus=1)
    assert made.choose(0) == ["a", "b"]
    for group_id in ("a", "b"):
        made.end(group_id)
    assert made.too_old(0) == [] and made.too_old(1) == ["slow"]


def test_a_part_of_a_step_leaves_room_for_what_must_still_be_in_it() -> None:
    """One of the first two to come may go at once; the last place is for the slow one."""
    made = admission({"slow": 0, "a": 1, "b": 1}, ["a", "b"], max_staleness=1, size=2)
    assert made.choose(1, count=1, later=1) == ["a"]
    made.end("a")
    assert made.choose(1, count=1) is None


def test_a_group_that_begins_anew_is_as_young_as_its_version() -> None:
    made = admission({"a": 0, "b": 0}, ["a"], max_staleness=0, size=1)
    made.begin("a", 1)
    assert made.too_old(1) == ["b"] and len(made) == 2
    assert made.choose(1) is None, "it is not ready any more"


@given(st.integers(0, 4), st.integers(1, 4), st.randoms(use_true_random=False))
def test_under_any_order_of_finishing_every_group_is_trained_in_time(
    max_staleness: int, size: int, rng: random.Random
) -> None:
    began = {f"0.{i}": 0 for i in range((max_staleness + 1) * size)}
    made, ready = admission(began, [], max_staleness=max_staleness, size=size), set[str]()
    for version in range(12):
        left = size
        while left:  # in parts of one group, or all at once
            count = rng.choice([1, left])
            while (chosen := made.choose(version, count=count, later=left - count)) is None:
                running = sorted(set(began) - ready)
                if not running:
                    pytest.fail("everything is ready, and still the step waits")
                ready.add(name := rng.choice(running))
                made.ready(name)
            left -= count
            for name in chosen:
                assert version - began.pop(name) <= max_staleness
                ready.remove(name)
                made.end(name)
        new = {f"{version + 1}.{i}": version + 1 for i in range(size)}
        began |= new
        for name in new:
            made.begin(name, version + 1)


def test_what_no_later_step_can_take_does_not_fit() -> None:
    admission = Admission(max_staleness=1, size=2)
    for index in range(3):
        admission.begin(f"old{index}", 4)
    for index in range(4):
        admission.begin(f"new{index}", 5)
    admission.ready("new3")
    assert admission.unfit(5) == ["old2", "new1", "new2"], "two a step, of two steps"
    assert admission.unfit(6) == ["old0", "old1", "old2", "new1", "new2"], "one step is left, and who is ready stays"
    assert len(admission.unfit(7)) == 7
