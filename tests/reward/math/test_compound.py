"""Quantities in several units are their sum."""

from __future__ import annotations

import pytest

from r1ray.reward.math.compound import decide


@pytest.mark.parametrize(
    ("reference", "answer", "verdict"),
    [
        (r"5\text{ feet }6\text{ inches}", r"66\text{ inches}", True),
        ("5'6''", r"5\text{ ft }6\text{ in}", True),
        (r"1\text{ h }30\text{ min}", r"\frac{3}{2}\text{ h}", True),
        (r"90\text{ minutes}", r"1\text{ hour and }30\text{ minutes}", True),
        (r"2\text{ dollars and }50\text{ cents}", "¤2.50", True),
        ("30^\\circ 30'", "30.5^\\circ", True),
        ("1小时30分", "90分钟", True),
        (r"1\text{ h }30\text{ min}", r"1.3\text{ h}", False),
        (r"1\text{ h }30\text{ min}", "90", False),  # of what?
        (r"1\text{ h }30\text{ min}", r"90\text{ cm}", False),
        (r"5\text{ m}", r"500\text{ cm}", None),
        (r"5\text{ m }5\text{ kg}", r"5\text{ m }5\text{ kg}", None),
        (r"6\text{ inches }5\text{ feet}", r"66\text{ inches}", None),  # nobody writes the smaller unit first
    ],
)
def test_two_units_are_added(reference: str, answer: str, verdict: bool | None) -> None:
    assert decide(reference, answer) is verdict
