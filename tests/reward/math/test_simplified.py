"""A right value in a form that can be worked out further is right, unless the configuration asks for more."""

from __future__ import annotations

import pytest

from r1ray.reward.math.simplified import is_simplified
from r1ray.reward.math.verifier import MathVerifier

ECHO = ("48480", r"\boxed{55\times1212-15\times1212}")


@pytest.mark.parametrize(
    ("reference", "answer"),
    [
        ("48480", "48480"), ("48480", "48,480.0"), ("48480", r"x=55\times1212-15\times1212=48480"),
        ("12", r"12\text{ cm}"),
        (r"\frac{1}{2}", "1/2"), (r"\frac{1}{2}", "0.5"), (r"\frac{1}{2}", r"50\%"), ("(1,2)", "(1, 2)"), ("5", "five"),
        (r"\frac{7}{2}", r"3\frac{1}{2}"), (r"2\sqrt{3}", r"\sqrt{12}"), ("x^2-1", "(x-1)(x+1)"), ("-3", "-3"),
        (r"-\frac{1}{2}", r"\frac{-1}{2}"), ("1000", "10^3=1000"), (r"\$18", "18"), ("even", "even"),
    ],
)  # fmt: skip
def test_a_number_in_any_spelling_is_simple(reference: str, answer: str) -> None:
    assert is_simplified(reference, answer)


@pytest.mark.parametrize(
    ("reference", "answer"),
    [
        ("48480", r"55\times1212-15\times1212"), ("10", "4+6"), ("8", "2^3"), ("2", r"\sqrt{4}"), ("24", "4!"),
        (r"\frac{1}{2}", r"\frac{2}{4}"), ("2", r"\frac{4}{2}"), ("(1,2)", "(1, 1+1)"),
        ("1,2", "1, 4/2"), ("1", r"\sin 90^\circ"),
        ("12", r"3\cdot4\text{ cm}"), ("7", "x=3+4"),
    ],
)  # fmt: skip
def test_what_is_left_to_be_worked_out_is_not(reference: str, answer: str) -> None:
    assert not is_simplified(reference, answer)


def test_an_echo_of_the_question_is_right_unless_a_simplified_form_is_asked_for(verifier: MathVerifier) -> None:
    assert verifier.score_sync(*ECHO).value == 1.0
    with MathVerifier(require_simplified=True) as strict:
        score = strict.score_sync(*ECHO)
        assert (score.value, score.label) == (0.0, "wrong") and "simplified" in score.detail
        assert strict.score_sync("48480", r"\boxed{48{,}480}").value == 1.0
