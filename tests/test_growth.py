"""Tests of the judgement on growth: what is linear passes, what is quadratic does not."""

from __future__ import annotations

import gc
import re

import pytest

from tests.growth import assert_linear, calls_of


def test_calls_are_counted_of_python_and_of_c() -> None:
    def work(number: int) -> None:
        for _ in range(number):
            abs(-1)

    assert calls_of(lambda: work(100)) - calls_of(lambda: work(10)) == 90


@pytest.mark.parametrize("pattern", ["a+", "b", "(a|b)*"])
def test_linear_patterns_pass(pattern: str) -> None:
    assert_linear(re.compile(pattern).findall, lambda size: "a" * size, 200_000)


@pytest.mark.parametrize("pattern", ["a*b", "a+$b", "(?:a|b)*?c"])
def test_quadratic_patterns_fail(pattern: str) -> None:
    with pytest.raises(AssertionError, match="characters take"):
        assert_linear(re.compile(pattern).findall, lambda size: "a" * size, 12_000)


def test_a_scan_in_every_turn_of_a_loop_fails() -> None:
    def work(text: str) -> None:
        for at in range(0, len(text), 10):
            text.find("b", at)

    with pytest.raises(AssertionError, match="characters take"):
        assert_linear(work, lambda size: "a" * size, 400_000)


def test_the_garbage_collector_rests_while_time_is_taken() -> None:
    runs: list[bool] = []
    assert_linear(lambda text: runs.append(gc.isenabled()), lambda size: "a" * size, 1000)
    assert not any(runs) and len(runs) > 2 and gc.isenabled()
