"""Times of day in their spellings."""

from __future__ import annotations

import pytest

from r1ray.reward.math.times import decide


@pytest.mark.parametrize(
    ("reference", "answer", "verdict"),
    [
        (r"3:45\text{ p.m.}", "3:45 PM", True),
        (r"3:45\text{ p.m.}", "15:45", True),
        (r"10\text{ a.m.}", r"10:00\text{ AM}", True),
        ("12:00 PM", r"\text{noon}", True),
        ("12:00 AM", r"\text{midnight}", True),
        ("10:00", r"10\text{ o'clock}", True),
        ("3:45 PM", "3:45 AM", False),
        ("12:00 PM", "12:00 AM", False),
        ("3:45 PM", "3:54 PM", False),
        ("13:00 PM", "1:00 PM", None),  # no time
        ("11:05", "11:5", False),
        ("09:30", "0.3", False),  # a zero in front: no ratio
        ("0", r"\text{midnight}", False),
        ("3:4", "6:8", None),  # a ratio
        (r"5\text{ pm}", "x", None),  # picometres, too
    ],
)
def test_a_time_of_day_is_one_in_any_spelling(reference: str, answer: str, verdict: bool | None) -> None:
    assert decide(reference, answer) is verdict
