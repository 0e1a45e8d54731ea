"""What never reaches computer algebra."""

from __future__ import annotations

import pytest

from r1ray.reward.math.guard import is_safe


@pytest.mark.parametrize(
    "text",
    [
        "9^{9^{9^9}}", "9^9^9^9", r"10^{10^{10}}!", "99999999!", "(100!)!", "x^{100000}", r"\binom{100000000}{5}",
        r"\sum_{k=1}^{10}k", r"\prod k", r"\int_0^1 x", r"\lim_{x\to0}x", "1" * 150, "x" * 700, "(" * 30 + ")" * 30,
        "1e99999", "__import__('os')", "lambda: 5",
    ],
)  # fmt: skip
def test_heavy_text_is_unsafe(text: str) -> None:
    assert not is_safe(text)


@pytest.mark.parametrize("text", [r"\frac{x^2+1}{\sqrt{2}}", "10!", r"\binom{10}{3}", "2^{2^3}", "x > y", r"e^{x^{2}}"])
def test_ordinary_text_is_safe(text: str) -> None:
    assert is_safe(text)
