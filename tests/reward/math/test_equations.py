"""An equation is the value that it names; one that is to be solved is none."""

from __future__ import annotations

import pytest

from r1ray.reward.math.exact import decide


@pytest.mark.parametrize(
    ("reference", "answer"),
    [
        ("7", "x=7"), ("7", "7=x"), ("7", "f(3)=7"), ("7", "3+4=7"), ("7", "x=3+4=7"), ("50", r"\angle ABC=50^\circ"),
        (r"\frac{1}{2}", r"\cos\theta=\frac{1}{2}"), ("12", r"S_{\triangle ABC}=12"), ("12", r"\overline{AB}=12"),
        (r"\frac{1}{6}", r"P(X=2)=\frac{1}{6}"), ("2x", "x+x=2x"), ("24", "4!=24"), ("(3,-2)", "y=-2, x=3"),
        ("(1,2)", "(x,y)=(1,2)"), ("x=3", "2x=6"),
    ],
)  # fmt: skip
def test_what_an_equation_names_is_its_value(reference: str, answer: str) -> None:
    assert decide(reference, answer) is True


@pytest.mark.parametrize(
    ("reference", "answer"),
    [
        ("5", "2x+1=5"), ("0", "x^2-4x+4=0"), ("180", r"\angle A+\angle B+\angle C=180^\circ"), ("3", r"\frac{x}{2}=3"),
        ("4", r"\sqrt{x}=4"), ("1", r"\sin x=1"), ("6", "xyz=6"), ("7", "|x|=7"), ("7", "f(x)+1=7"), ("7", "8=7"),
        ("x=1,y=2", "2x=1,y=2"), ("(1,2)", "y=1, x=2"), ("7", "x=7=8"), ("7", "x>7"), ("0", "0=x-7"),
        ("x=3", r"x\equiv 3\pmod 7"), ("42", r"42\approx 430"),
    ],
)  # fmt: skip
def test_an_equation_to_be_solved_is_not_its_right_side(reference: str, answer: str) -> None:
    assert decide(reference, answer) is not True
