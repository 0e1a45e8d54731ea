from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from r1ray.config import StopConfig
from r1ray.loop.upkeep.stopping import has_plateaued


def rows_of(values: Sequence[float]) -> list[dict[str, float]]:
    return [{"step": float(step), "reward/mean": value} for step, value in enumerate(values, start=1)]


def first_stop(values: Sequence[float], config: StopConfig) -> int | None:
    """The first step after which the rule holds."""
    rows = rows_of(values)
    return next((step for step in range(len(rows) + 1) if has_plateaued(rows, config, step=step)), None)


def test_it_holds_once_the_last_window_gains_less_than_asked() -> None:
    """Windows of two: means 1.5 and 3.5, then 2.5 and 4, then 3.5 and 4."""
    assert first_stop([1, 2, 3, 4, 4, 4], StopConfig(window=2, min_gain=1.0, after=0)) == 6


def test_a_gain_of_exactly_the_least_is_enough_to_go_on() -> None:
    assert first_stop([0, 0, 1, 1], StopConfig(window=2, min_gain=1.0, after=0)) is None
    assert first_stop([0, 0, 1, 1], StopConfig(window=2, min_gain=1.01, after=0)) == 4


def test_a_metric_that_falls_has_stopped_to_rise() -> None:
    assert first_stop([5, 4, 3, 2], StopConfig(window=2, after=0)) == 4


def test_no_window_means_never() -> None:
    assert first_stop([0.0] * 500, StopConfig()) is None


def test_two_whole_windows_and_the_least_number_of_steps_come_first() -> None:
    assert first_stop([0.0] * 50, StopConfig(window=5, after=0)) == 10
    assert first_stop([0.0] * 50, StopConfig(window=5, after=30)) == 30


def test_patience_asks_for_as_many_findings_in_a_row() -> None:
    values = [0, 0, 0, 0, 9, 9, 9, 9, 9, 9]
    assert first_stop(values, StopConfig(window=1, after=0)) == 2
    assert first_stop(values, StopConfig(window=1, after=0, patience=3)) == 4
    assert first_stop(values, StopConfig(window=1, after=0, patience=4)) == 9


def test_rows_without_the_metric_are_passed_over() -> None:
    config = StopConfig(metric="eval/heldout/pass@1", window=1, after=0)
    rows = [{"step": float(step)} | ({config.metric: 0.5} if step % 2 == 0 else {}) for step in range(5)]
    assert [has_plateaued(rows, config, step=step) for step in range(5)] == [False, False, True, True, True]


@given(
    st.lists(st.floats(0, 1), max_size=40),
    st.lists(st.floats(0, 1), max_size=10),
    st.integers(1, 6),
    st.integers(1, 4),
    st.integers(0, 30),
)
def test_later_rows_decide_nothing(
    values: list[float], more: list[float], window: int, patience: int, after: int
) -> None:
    config = StopConfig(window=window, patience=patience, after=after)
    step = len(values)
    assert has_plateaued(rows_of(values), config, step=step) == has_plateaued(rows_of(values + more), config, step=step)


@pytest.mark.parametrize("change", [{"window": -1}, {"patience": 0}, {"after": -1}, {"metric": "kl/ref"}])
def test_settings_that_mean_nothing_are_refused(change: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=r"^stop\."):
        StopConfig(**change)  # type: ignore[arg-type]
