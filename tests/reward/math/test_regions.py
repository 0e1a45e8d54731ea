"""Sets of real numbers by their signs: a mark on the sign of the real numbers changes the set."""

from __future__ import annotations

import pytest

from r1ray.reward.math.exact import decide


@pytest.mark.parametrize(
    ("reference", "answer", "verdict"),
    [
        (r"(0,\infty)", r"\mathbb{R}^+", True), (r"(0,\infty)", r"\mathbb{R}_{>0}", True),
        (r"[0,\infty)", r"\mathbb{R}_{\ge 0}", True), (r"\mathbb{R}\setminus\{0\}", r"\mathbb{R}^*", True),
        ("-2<x<2", "|x|<2", True), ("[-1,3]", r"|x-1|\le 2", True), (r"x<-1\text{ or }x>3", "|x-1|>2", True),
        (r"\mathbb{R}", r"\mathbb{R}^+", False), (r"\mathbb{R}^+", r"\mathbb{R}_{\ge 0}", False),
        (r"\text{all real numbers}", r"\mathbb{R}^*", False), (r"\mathbb{R}", r"\mathbb{R}^2", False),
        ("(3,-1)", r"\emptyset", False),
        ("-2<x<2", r"|x|\le 2", False), ("-2<x<2", "|x|>2", False), (r"-\infty", r"\infty", False),
        (r"\text{infinity}", r"-\infty", False), (r"-\infty", r"\text{negative infinity}", True),
    ],
)  # fmt: skip
def test_a_mark_on_a_set_counts(reference: str, answer: str, verdict: bool) -> None:
    assert (decide(reference, answer) is True) is verdict
