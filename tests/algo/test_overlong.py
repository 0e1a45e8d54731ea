"""DAPO's punishment of length against numbers worked out by hand."""

from __future__ import annotations

import pytest

from r1ray.algo.variants.overlong import overlong_penalty


@pytest.mark.parametrize(
    ("num_tokens", "penalty"),
    [(0, 0.0), (3000, 0.0), (3072, 0.0), (3500, -0.41796875), (4096, -1.0), (4200, -1.0)],
)
def test_the_overlong_penalty_falls_in_a_line_inside_the_cache(num_tokens: int, penalty: float) -> None:
    assert overlong_penalty(num_tokens, max_tokens=4096, cache_tokens=1024) == penalty


@pytest.mark.parametrize("cache", [0, -1, 101])
def test_a_cache_that_does_not_fit_the_limit_is_refused(cache: int) -> None:
    with pytest.raises(ValueError, match="cache_tokens"):
        overlong_penalty(1, max_tokens=100, cache_tokens=cache)
