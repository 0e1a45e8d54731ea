"""Golden numbers worked out by hand, and the properties of a group-normalised advantage."""

from __future__ import annotations

from random import Random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from r1ray.algo.advantage import divide, step_advantages
from r1ray.algo.variants.dynamic_sampling import is_uniform

EIGHT = [1.0, 0, 0, 1, 0, 0, 0, 0]
ONE_OF_SIXTEEN = [1.0] + [0.0] * 15
rewards = st.lists(st.floats(-10, 10, width=32), min_size=2, max_size=16)


def group_advantages(
    rewards_G: list[float | None], *, std: str, epsilon: float, baseline: str = "group"
) -> list[float | None]:
    """The advantages of a step of one group."""
    (advantages,) = step_advantages([rewards_G], [[1] * len(rewards_G)], baseline=baseline, std=std, epsilon=epsilon)
    return advantages


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


@pytest.mark.parametrize(
    ("rewards", "std", "right", "wrong"),
    [
        (EIGHT, "none", 0.857143, -0.285714),
        (EIGHT, "others", 2.267781, -0.585539),
        (ONE_OF_SIXTEEN, "others", 1.0, -0.258198),
    ],
)
def test_against_the_mean_of_the_others(rewards: list[float], std: str, right: float, wrong: float) -> None:
    """RLOO, and NeMo-RL, which divides by the std of the others: not where it is 0, as beside the only right one."""
    advantages = group_advantages(rewards, std=std, epsilon=1e-6, baseline="leave_one_out")
    assert advantages[:2] == [pytest.approx(right, abs=1e-6), pytest.approx(wrong, abs=1e-6)]


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


TWO_GROUPS = [[1.0, 0.0], [0.25, 0.25, None]]


def step(std: str, *, baseline: str = "group", epsilon: float = 0.0, place: str = "std") -> list[list[float | None]]:
    """Two groups; the last scored completion is masked out of the loss."""
    return step_advantages(
        TWO_GROUPS, [[3, 1], [4, 0, 9]], baseline=baseline, std=std, epsilon=epsilon, epsilon_in=place
    )


def test_the_baseline_of_a_step_is_the_mean_of_all_its_rewards() -> None:
    assert step("none", baseline="batch") == [[0.625, -0.375], [-0.125, -0.125, None]]


def test_a_step_has_one_std_of_all_its_rewards() -> None:
    """Rewards 1, 0, 1/4, 1/4: variance 0.1875 with ddof 1."""
    scale = 0.1875**0.5
    first, second = step("batch", epsilon=1e-4)
    assert first == pytest.approx([0.5 / (scale + 1e-4), -0.5 / (scale + 1e-4)])
    assert second == [0.0, 0.0, None]


@pytest.mark.parametrize(("std", "ddof"), [("token_population", 0), ("token_sample", 1)])
def test_whitening_is_over_the_tokens_in_the_loss(std: str, ddof: int) -> None:
    """Advantages 1/2 (3 tokens), -1/2 (1), 0 (4): mean 1/8, sum of squared differences 7/8."""
    variance = 0.875 / (8 - ddof)
    for place, scale in (("variance", (variance + 0.01) ** 0.5), ("floor", variance**0.5)):
        first, second = step(std, epsilon=0.01, place=place)
        assert first == pytest.approx([0.375 / scale, -0.625 / scale])
        assert second == [pytest.approx(-0.125 / scale), pytest.approx(-0.125 / scale), None]


def test_a_group_std_divides_what_is_left_of_the_mean_of_the_step() -> None:
    first, second = step("population", baseline="batch")
    assert first == [1.25, -0.75]
    assert second == [0.0, 0.0, None], "rewards that are all equal have no std"


def test_epsilon_has_three_places() -> None:
    value = np.array([3.0])
    assert divide(value, 4.0, epsilon=1.0, epsilon_in="std").item() == 1.0
    assert divide(value, 4.0, epsilon=5.0, epsilon_in="variance").item() == 1.0
    assert divide(value, 4.0, epsilon=9.0, epsilon_in="floor").item() == 1.0
    with pytest.raises(ValueError, match="unknown place"):
        divide(value, 4.0, epsilon=1.0, epsilon_in="mean")


EVERY_BASELINE = st.sampled_from(["group", "leave_one_out", "batch"])
EVERY_STD = st.sampled_from(["none", "sample", "population", "others", "batch", "token_sample", "token_population"])
groups = st.lists(st.lists(st.one_of(st.none(), st.floats(-10, 10)), min_size=1, max_size=6), min_size=1, max_size=5)


@given(groups, EVERY_BASELINE, EVERY_STD, st.sampled_from(["std", "variance", "floor"]), st.data())
def test_every_mixture_is_finite_and_has_the_gaps_of_its_rewards(
    rewards: list[list[float | None]], baseline: str, std: str, place: str, data: st.DataObject
) -> None:
    lengths = [[data.draw(st.integers(0, 3)) for _ in group] for group in rewards]
    made = step_advantages(rewards, lengths, baseline=baseline, std=std, epsilon=0.0, epsilon_in=place)
    for group, advantages in zip(rewards, made, strict=True):
        assert [a is None for a in advantages] == [r is None for r in group]
        assert all(np.isfinite(a) for a in advantages if a is not None)


@given(st.floats(-1e6, 1e6), EVERY_BASELINE, EVERY_STD)
def test_a_step_of_equal_rewards_teaches_nothing(reward: float, baseline: str, std: str) -> None:
    made = step_advantages([[reward] * 3, [reward] * 7], [[1] * 3, [2] * 7], baseline=baseline, std=std, epsilon=0.0)
    assert made == [[0.0] * 3, [0.0] * 7]


@given(groups, EVERY_STD, st.randoms(use_true_random=False))
def test_the_order_of_groups_changes_nothing(rewards: list[list[float | None]], std: str, random: Random) -> None:
    rewards = [[None if r is None else round(r, 2) for r in group] for group in rewards]
    order = list(range(len(rewards)))
    random.shuffle(order)
    options = {"baseline": "group", "std": std, "epsilon": 1e-6}
    here = step_advantages(rewards, [[2] * len(group) for group in rewards], **options)
    there = step_advantages([rewards[i] for i in order], [[2] * len(rewards[i]) for i in order], **options)
    for i, group in zip(order, there, strict=True):
        assert [a is None for a in group] == [a is None for a in here[i]]
        assert [a for a in group if a is not None] == pytest.approx(
            [a for a in here[i] if a is not None], rel=1e-9, abs=1e-9
        )


def test_only_known_rewards_decide_whether_a_group_is_uniform() -> None:
    assert is_uniform([1.0, None, 1.0]) and is_uniform([None])
    assert not is_uniform([1.0, None, 0.5])
