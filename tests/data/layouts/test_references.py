"""References that are answers, and those that are none, kind by kind."""

from __future__ import annotations

import contextlib
import datetime
import time
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from r1ray.data.checks import MalformedRow, UnusableRow
from r1ray.data.layouts.ground_truths import check_of
from r1ray.data.layouts.questions import question_of
from r1ray.data.layouts.references import reference


@pytest.mark.parametrize(
    ("value", "answer"),
    [
        ("42", "42"),
        (" 42 ", "42"),
        (72, "72"),
        (2.5, "2.5"),
        (Decimal("0.1"), "0.1"),
        (["7"], "7"),
        ('["\\\\frac{1}{2}"]', "\\frac{1}{2}"),
        ("['7']", "7"),
        ("so\n#### 1,234", "1,234"),
        (r"First \boxed{1}, then \boxed{\frac{1}{2}}.", r"\frac{1}{2}"),
        ("[1, 2]", "[1, 2]"),
        ("{1, 2, 3}", "{1, 2, 3}"),
        (r"\{x : x > 2\}", r"\{x : x > 2\}"),
        (r"x = 1 \text{ or } y = 2", r"x = 1 \text{ or } y = 2"),
        (r"\text{The function is increasing}", r"\text{The function is increasing}"),
        ("William Shakespeare", "William Shakespeare"),
        ("(B)", "(B)"),
        ("None", "None"),
        ("\u4e09\u5206\u4e4b\u4e00", "\u4e09\u5206\u4e4b\u4e00"),
        (None, ""),
        (float("nan"), ""),
        ("", ""),
        ("\\boxed{1", ""),
    ],
)
def test_an_answer_is_read(value: Any, answer: str) -> None:
    assert reference(value, column="answer") == answer


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ({"numbers": [1, 2], "target": 3, "other": None}, r"answer is an object \(numbers, target\)"),
        (["1", "2"], "answer is a list of 2"),
        ([], "answer is a list of 0"),
        ([["1"]], "answer is a list of 1"),
        (True, "answer is true"),
        (b"7", "answer is bytes"),
        (datetime.date(2024, 1, 1), "answer is datetime.date"),
        ('{"target": 98}', r"answer is the text of an object \(target\)"),
        ("{'target': 98}", r"answer is the text of an object \(target\)"),
        ('["1", "2"]', "answer is a list of 2"),
        ("def f(x):\n    return x", "answer is the source of a program"),
        ("```python\nprint(1)\n```", "answer is the source of a program"),
        ("#include <iostream>\nint main() {}", "answer is the source of a program"),
        ("assert f(1) == 2", "answer is the source of a program"),
        ("# reads a number\nn = int(input())\nprint(n * 2)", "answer is the source of a program"),
        ("n = int(input())\nprint(n * 2)", "answer is the source of a program"),
        ("SELECT count(*) FROM singer", "answer is the source of a program"),
        ("theorem add_comm (a b : Nat) : a + b = b + a := by simp", "answer is the source of a program"),
    ],
)
def test_what_is_no_answer_is_refused(value: Any, reason: str) -> None:
    with pytest.raises(MalformedRow, match=reason):
        reference(value, column="answer")


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ("proof", "'proof', which is no answer"),
        ("notfound", "'notfound', which is no answer"),
        ("Not found.", "which is no answer"),
        ("N/A", "which is no answer"),
        ("Since equality is reflexive, x = x. This completes the proof.", "prose or a proof"),
        ("Together they have 8 + 3 = 11 apples. Each then gets 11 / 2 of them.", "prose or a proof"),
        ("Select 3 balls from the urn. There are 10 of them in it.", "prose or a proof"),
        ("We try it in Python:\n```python\nprint(1)\n```\nand see that there is no such number at all.", "prose or a"),
        ("The answer to the question is 4.", "prose or a proof"),
        ("we let n be even and write it as twice a number k so that its square is even", "prose or a proof"),
        (
            "\u56e0\u4e3a\u6bcf\u4e2a\u6570\u90fd\u662f\u5076\u6570\uff0c\u6240\u4ee5\u5b83\u4eec\u7684\u548c\u4e5f\u662f\u5076\u6570\uff0c\u8bc1\u6bd5\u4e86\u3002",
            "prose or a proof",
        ),
    ],
)
def test_a_row_by_which_nothing_can_be_judged_is_set_aside(value: str, reason: str) -> None:
    with pytest.raises(UnusableRow, match=reason):
        reference(value, column="answer")


@pytest.mark.parametrize("piece", ["\\(", "\n", "$", "# \n", "SELECT ", "\\boxed{", "![", "[{'", " assert"])
def test_reading_takes_linear_time(piece: str) -> None:
    text = piece * (40_000 // len(piece)) + "x"
    started = time.process_time()
    for read in (lambda: reference(text, column="answer"), lambda: check_of(text, column="answer")):
        with contextlib.suppress(MalformedRow, UnusableRow):
            read()
    with contextlib.suppress(MalformedRow, UnusableRow):
        question_of(text)
    assert time.process_time() - started < 2.0


@given(st.recursive(st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary(),
                    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
                    max_leaves=6))  # fmt: skip
def test_no_value_becomes_an_answer_by_its_python_text(value: Any) -> None:
    try:
        answer = reference(value, column="answer")
    except (MalformedRow, UnusableRow):
        return
    while isinstance(value, list):
        (value,) = value
    assert value is None or isinstance(value, str | int | float)
    assert isinstance(value, str) or answer in ("", str(value))
