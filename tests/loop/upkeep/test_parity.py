"""When fresh tokens make an engine's weights doubtful."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from r1ray.loop.upkeep.parity import KL, MEAN, is_suspicious


def line(mean: float, kl: float) -> dict[str, float]:
    return {MEAN: mean, KL: kl}


USUAL = [line(0.05, 3e-3), line(0.06, 4e-3), line(0.05, 3e-3), line(0.05, 3e-3)]


def test_rounding_in_float32_is_not_suspicious_and_a_stale_layer_is() -> None:
    assert not is_suspicious(line(3e-7, 5e-14), [], "float32", "float32")
    assert is_suspicious(line(2e-3, 9e-6), [], "float32", "float32")


def test_in_bfloat16_the_first_steps_say_what_is_usual() -> None:
    assert not is_suspicious(line(0.07, 9e-3), USUAL, "float32", "bfloat16")
    assert is_suspicious(line(0.07, 2e-2), USUAL, "float32", "bfloat16")
    assert is_suspicious(line(0.13, 3e-3), USUAL, "bfloat16", "bfloat16")
    assert is_suspicious(line(0.05, 3e-3), [], "bfloat16", "bfloat16"), "nothing is usual yet"


def test_later_steps_do_not_change_what_is_usual() -> None:
    drifting = [*USUAL, *[line(0.05 * 1.1**i, 3e-3 * 1.2**i) for i in range(20)]]
    assert is_suspicious(line(0.3, 0.1), drifting, "bfloat16", "bfloat16")


def test_no_fresh_tokens_say_nothing_and_nan_does() -> None:
    assert not is_suspicious({}, USUAL, "float32", "float32")
    assert is_suspicious(line(math.nan, math.nan), [], "bfloat16", "bfloat16")


@given(st.lists(st.floats(0, 1), min_size=1, max_size=8), st.sampled_from(["float32", "bfloat16"]))
def test_what_was_usual_is_never_suspicious(values: list[float], dtype: str) -> None:
    history = [line(value, value) for value in values]
    assert not is_suspicious(history[0], history, dtype, dtype)


@pytest.mark.parametrize("dtypes", [("float32", "bfloat16"), ("bfloat16", "float32")])
def test_one_side_in_bfloat16_rounds_as_both_do(dtypes: tuple[str, str]) -> None:
    assert not is_suspicious(line(0.01, 5e-4), [], *dtypes)
