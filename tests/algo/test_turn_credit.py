"""Credit by turn, against numbers worked out by hand."""

from __future__ import annotations

from functools import partial

import pytest
from hypothesis import given
from hypothesis import strategies as st

from r1ray.algo.advantage import step_advantages
from r1ray.algo.variants.turn_credit import Advantages, Rewards, returns_of_turns, turn_advantages

TOTALS = [1.5, 0.5, 1.0]
TURNS = [[0.5, 0.0, 1.0], [0.5], [0.0, -1.0]]
"""The third has 2 for its final state; returns are 1.5, 1, 1; 0.5; 1, 1."""


def advantages(rewards_PG: Rewards, *, std: str) -> Advantages:
    return step_advantages(rewards_PG, [[5] * len(rewards_G) for rewards_G in rewards_PG], std=std, epsilon=0.0)


def test_a_turn_is_credited_with_its_own_reward_and_with_what_came_after() -> None:
    assert [returns_of_turns(*each) for each in zip(TOTALS, TURNS, strict=True)] == [[1.5, 1.0, 1.0], [0.5], [1.0, 1.0]]


def test_a_turn_is_compared_with_the_same_turn_and_with_what_shorter_trajectories_came_to() -> None:
    (found,) = turn_advantages([TOTALS], [TURNS], partial(advantages, std="none"))
    assert found[0] == pytest.approx((0.5, 1 / 6, 1 / 6))  # 1.5 - 1; 1 - (1 + 0.5 + 1) / 3, twice
    assert found[1] == pytest.approx((-0.5,))  # 0.5 - 1
    assert found[2] == pytest.approx((0.0, 1 / 6))  # 1 - 1; 1 - (1 + 0.5 + 1) / 3


def test_it_is_divided_by_the_std_of_its_turn() -> None:
    (found,) = turn_advantages([TOTALS], [TURNS], partial(advantages, std="sample"))
    assert found[0] == pytest.approx((1.0, 1 / 3**0.5, 1 / 3**0.5))  # std 0.5; then sqrt(1 / 12), and (1 / 6) sqrt(12)
    assert found[1:] == [pytest.approx((-1.0,)), pytest.approx((0.0, 1 / 3**0.5))]


def test_what_could_not_be_scored_takes_no_part() -> None:
    (found,) = turn_advantages([[1.0, None, 0.0]], [[[0.0], [9.0, 9.0], [0.0]]], partial(advantages, std="none"))
    assert found == [(0.5,), (), (-0.5,)]


def test_groups_are_apart() -> None:
    alone, both = [
        turn_advantages(rewards, turns, partial(advantages, std="sample"))
        for rewards, turns in (([TOTALS], [TURNS]), ([[9.0, 0.0], TOTALS], [[[1.0] * 5, [0.0]], TURNS]))
    ]
    assert both[1] == alone[0]


def test_returns_that_are_equal_but_for_the_last_bit_are_equal() -> None:
    (found,) = turn_advantages([[0.1 + 0.2 + 0.3, 0.5]], [[[0.1, 0.2], [0.0, 0.0]]], partial(advantages, std="sample"))
    assert found[0][1] == found[1][1] == 0.0


numbers = st.floats(-3, 3)


@given(st.lists(st.tuples(numbers, st.integers(1, 5)), min_size=2, max_size=6), st.sampled_from(["sample", "none"]))
def test_without_rewards_for_turns_all_have_the_advantage_of_the_trajectory(
    group: list[tuple[float, int]], std: str
) -> None:
    totals = [[total for total, _ in group]]
    (by_turn,) = turn_advantages(totals, [[[0.0] * turns for _, turns in group]], partial(advantages, std=std))
    (whole,) = advantages(totals, std=std)
    assert [list(each) for each in by_turn] == [[a] * turns for a, (_, turns) in zip(whole, group, strict=True)]


@given(st.lists(st.tuples(numbers, st.lists(numbers, min_size=1, max_size=4)), min_size=2, max_size=5))
def test_the_first_turn_has_the_advantage_of_the_trajectory(group: list[tuple[float, list[float]]]) -> None:
    totals = [[final + sum(turns) for final, turns in group]]
    (by_turn,) = turn_advantages(totals, [[turns for _, turns in group]], partial(advantages, std="sample"))
    assert [each[0] for each in by_turn] == advantages(totals, std="sample")[0]
