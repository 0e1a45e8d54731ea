from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from r1ray.algo.compose import normalised_rewards, total_reward

WEIGHTS = {"accuracy": 1.0, "length": 0.5}


def test_parts_are_weighted_and_added() -> None:
    assert total_reward({"accuracy": 1.0, "length": -1.0}, WEIGHTS) == 0.5


def test_a_gate_below_one_closes_everything() -> None:
    parts = {"accuracy": 1.0, "format": 0.5}
    assert total_reward(parts, {"accuracy": 1.0, "format": 1.0}, gate="format") == 0.0


def test_what_has_no_weight_adds_nothing() -> None:
    assert total_reward({"accuracy": 1.0, "f1": 0.7}, WEIGHTS) == 1.0


def test_a_prompt_without_the_gates_part_passes() -> None:
    assert total_reward({"accuracy": 1.0}, WEIGHTS, gate="format") == 1.0


def test_a_part_with_a_wide_range_does_not_drown_the_others() -> None:
    parts = [{"accuracy": a, "length": b} for a, b in ((0.0, 900.0), (1.0, -900.0))]
    low, high = normalised_rewards(parts, WEIGHTS, epsilon=0.0)
    assert (low, high) == (pytest.approx(-0.3535533905932738), pytest.approx(0.3535533905932738))


def test_what_could_not_be_scored_takes_no_part() -> None:
    assert normalised_rewards([{"accuracy": 1.0}, None, {"accuracy": 1.0}], WEIGHTS, epsilon=1e-6) == [0.0, None, 0.0]


@given(
    st.lists(st.floats(-100, 100), min_size=2, max_size=8).filter(lambda v: max(v) - min(v) > 1e-3),
    st.floats(0.01, 100),
    st.floats(-100, 100),
)
def test_shift_and_scale_of_a_part_change_nothing(values: list[float], scale: float, shift: float) -> None:
    before = normalised_rewards([{"accuracy": v} for v in values], WEIGHTS, epsilon=0.0)
    after = normalised_rewards([{"accuracy": v * scale + shift} for v in values], WEIGHTS, epsilon=0.0)
    assert after == pytest.approx(before, abs=1e-6)


def test_prompts_with_other_parts_are_normalised_by_their_own() -> None:
    """A reasoning prompt has rules, a general one a preference score of any range: both groups spread alike."""
    weights = {"accuracy": 1.0, "language": 0.5, "helpful": 1.0}
    reasoning = normalised_rewards([{"accuracy": 0.0}, {"accuracy": 1.0}], weights, epsilon=0.0)
    general = normalised_rewards([{"helpful": 90.0}, {"helpful": -700.0}], weights, epsilon=0.0)
    assert reasoning == pytest.approx(general[::-1])


def test_a_part_that_does_not_count_yet_does_not_spread() -> None:
    parts = [{"accuracy": 0.0, "helpful": 9.0}, {"accuracy": 1.0, "helpful": -9.0}]
    assert normalised_rewards(parts, {"accuracy": 1.0}, epsilon=0.0) == pytest.approx([-(0.5**0.5), 0.5**0.5])
    assert normalised_rewards(parts, {}, epsilon=0.0) == [0.0, 0.0]


def test_metrics_are_not_rewarded() -> None:
    parts = [{"accuracy": 0.0, "f1": 0.1}, {"accuracy": 0.0, "f1": 0.9}]
    assert normalised_rewards(parts, WEIGHTS, epsilon=0.0) == [0.0, 0.0]
