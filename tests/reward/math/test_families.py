"""Names that do not matter: integers of families, constants of integration."""

from __future__ import annotations

import pytest

from r1ray.reward.math.exact import decide
from r1ray.reward.math.families import renamed


@pytest.mark.parametrize(
    ("reference", "answer", "verdict"),
    [
        (r"2k\pi, k\in\mathbb{Z}", r"2\pi n, n\in\mathbb{Z}", True),
        (r"x=\frac{\pi}{2}+k\pi\ (k\in\mathbb{Z})", r"x = n\pi - \frac{\pi}{2}\text{ for any integer }n", True),
        (r"(2k+1)\pi, k\in\mathbb{Z}", r"(2k-1)\pi, k\in\mathbb{Z}", True),
        (r"\{x\mid x=2k\pi,k\in\mathbb{Z}\}", r"\{2n\pi\mid n\in\mathbb{Z}\}", True),
        (r"k\pi", r"k\pi, k\in\mathbb{Z}", True),
        (r"[2k\pi,2k\pi+\pi], k\in\mathbb{Z}", r"[2n\pi,\pi+2n\pi]\ (n\in\mathbb{Z})", True),
        (r"2k\pi, k\in\mathbb{Z}", r"k\pi, k\in\mathbb{Z}", False),
        (r"2k\pi, k\in\mathbb{Z}", r"2k\pi, k\in\mathbb{N}", False),
        (r"2k\pi, k\in\mathbb{Z}", r"2k\pi+1, k\in\mathbb{Z}", False),
        (r"2k\pi, k\in\mathbb{Z}", r"2\pi", False),
        ("x^2+C", "c+x^2", True),
        ("x^2+C", "x^2+c", True),
        (r"\sin^2 x+C", r"-\cos^2 x+C_1", True),
        ("x^2+C", "x^2", False),
        ("a+b+c", "a+b+C", False),
        ("y=Ce^{2x}", "y=ce^{2x}", True),
        ("AC+x", "Ac+x", False),
    ],
)
def test_the_name_does_not_matter_and_all_else_does(reference: str, answer: str, verdict: bool) -> None:
    assert decide(reference, answer) is verdict


def test_texts_without_such_names_stay_as_they_are() -> None:
    assert renamed("x+1", "1+x") is None and renamed(r"x\in[0,1]", "[0,1]") is None
