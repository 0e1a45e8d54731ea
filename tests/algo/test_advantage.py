"""Golden numbers worked out by hand, and the properties of a group-normalised advantage."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from r1ray.algo.advantage import group_advantages

EIGHT = [1.0, 0, 0, 1, 0, 0, 0, 0]
ONE_OF_SIXTEEN = [1.0] + [0.0] * 15
rewards = st.lists(st.floats(-10, 10, width=32), min_size=2, max_size=16)


@pytest.mark.parametrize(
    ("std", "epsilon", "right", "wrong"),
    [
        ("sample", 1e-6, 1.620182, -0.540061),
        ("sample", 1e-9, 1.620185, -0.540062),
        ("sample", 1e-4, 1.619835, -0.539945),
        ("population", 1e-8, 1.732051, -0.577350),
        ("none", 0.0, 0.75, -0.25),
    ],
)
def test_two_right_of_eight(std: str, epsilon: float, right: float, wrong: float) -> None:
    advantages = group_advantages(EIGHT, std=std, epsilon=epsilon)
    assert advantages[0] == pytest.approx(right, abs=1e-6)
    assert advantages[1] == pytest.approx(wrong, abs=1e-6)


def test_one_right_of_sixteen() -> None:
    advantages = group_advantages(ONE_OF_SIXTEEN, std="sample", epsilon=1e-6)
    assert advantages[:2] == [pytest.approx(3.749985, abs=1e-6), pytest.approx(-0.249999, abs=1e-6)]
    advantages = group_advantages(ONE_OF_SIXTEEN, std="population", epsilon=0.0)
    assert advantages[:2] == [pytest.approx(3.872983, abs=1e-6), pytest.approx(-0.258199, abs=1e-6)]


def test_the_smaller_epsilon_keeps_small_rewards_large() -> None:
    small = [0.001] * 4 + [0.0] * 4
    assert group_advantages(small, std="sample", epsilon=1e-6)[0] == pytest.approx(0.9337, abs=1e-4)
    assert group_advantages(small, std="sample", epsilon=1e-4)[0] == pytest.approx(0.7880, abs=1e-4)


@given(st.floats(-1e6, 1e6), st.integers(2, 32))
def test_a_group_of_equal_rewards_teaches_nothing(reward: float, size: int) -> None:
    assert group_advantages([reward] * size, std="sample", epsilon=0.0) == [0.0] * size


@given(rewards)
def test_advantages_of_a_group_sum_to_zero(values: list[float]) -> None:
    advantages = [a for a in group_advantages(values, std="sample", epsilon=1e-6) if a is not None]
    assert sum(advantages) == pytest.approx(0.0, abs=1e-6)


@given(rewards, st.sampled_from([-4.0, 0.5, 64.0]))
def test_a_shift_of_all_rewards_changes_nothing(values: list[float], shift: float) -> None:
    values = [round(v, 3) for v in values]
    here = group_advantages(values, std="sample", epsilon=1e-6)
    there = group_advantages([v + shift for v in values], std="sample", epsilon=1e-6)
    if np.ptp(values) > 1e-2:
        assert here == pytest.approx(there, rel=1e-6, abs=1e-6)


@given(rewards, st.integers(0, 15))
def test_an_unscored_completion_takes_no_part(values: list[float], where: int) -> None:
    where %= len(values) + 1
    with_hole = group_advantages([*values[:where], None, *values[where:]], std="sample", epsilon=1e-6)
    assert with_hole[where] is None
    assert [a for a in with_hole if a is not None] == group_advantages(values, std="sample", epsilon=1e-6)


def test_a_group_with_one_reward_teaches_nothing() -> None:
    assert group_advantages([None, 1.0, None], std="sample", epsilon=1e-6) == [None, 0.0, None]
