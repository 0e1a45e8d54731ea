from __future__ import annotations

import pytest

from r1ray.reward.audit.expressions import EXPRESSION_KINDS


@pytest.mark.parametrize(
    ("kind", "reference", "answer"),
    [
        ("other infinity", "-\\infty", "\\infty"),
        ("other infinity", "\\text{infinity}", "-\\infty"),
        ("other infinity", "正无穷", "-\\infty"),
        ("set with another sign", "\\mathbb{R}", "\\mathbb{R}^+"),
        ("set with another sign", "\\mathbb{R}^+", "\\mathbb{R}"),
        ("set with another sign", "\\text{all real numbers}", "\\mathbb{R}^*"),
        ("equation of an unknown", "x=1,y=2", "2x=1,y=2"),
        ("other time of day", "11:05", "11:5"),
        ("factorial twice", "5!!", "(5!)!"),
        ("unit for a percentage", "5\\%", "5 \\text{ cm}"),
        ("ends of an interval", "[2,5)", "(2,5]"),
        ("relation turned round", "x\\leq 3", "x\\geq 3"),
        ("another formula", "x^2-5x+6", "x^2-5x+6+1"),
    ],
)
def test_each_kind_knows_its_references(kind: str, reference: str, answer: str) -> None:
    assert answer in EXPRESSION_KINDS[kind](reference)
    for other, make in EXPRESSION_KINDS.items():
        assert reference not in make(reference), other


@pytest.mark.parametrize("reference", ["\\infty", "\\pm 2", "x^2+C", "2k\\pi \\pmod 7", "\\mathbb{R}"])
def test_nothing_is_added_to_what_may_stay_the_same(reference: str) -> None:
    assert EXPRESSION_KINDS["another formula"](reference) == []


@pytest.mark.parametrize("reference", ["2!", "x=0", "(2,5)", "0\\%", "12:45", "yes"])
def test_references_whose_change_may_be_right_are_left_alone(reference: str) -> None:
    assert not any(make(reference) for kind, make in EXPRESSION_KINDS.items() if kind != "another formula")
