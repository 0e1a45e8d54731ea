from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from r1ray.environments.tools.results import result_of, text_of
from r1ray.turns import ToolResult


@dataclasses.dataclass
class Point:
    x: int


class Odd:
    def __str__(self) -> str:
        return "odd"

    def __repr__(self) -> str:
        return "Odd()"


LOOP: list[Any] = []
LOOP.append(LOOP)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("as it stands", "as it stands"),
        ("", ""),
        ("half \ud800", "half ?"),
        (None, "null"),
        (3, "3"),
        ({"a": [1.5, None, True]}, '{"a":[1.5,null,true]}'),
        ({"text": "日本"}, '{"text":"日本"}'),
        ([Point(1)], '[{"x":1}]'),
        (float("nan"), "NaN"),
        (Odd(), '"odd"'),
        (b"\xff", "b'\\xff'"),
        (LOOP, "[[...]]"),
    ],
    ids=ascii,
)
def test_what_is_no_text_is_json(value: Any, text: str) -> None:
    assert text_of(value) == text


def test_a_number_that_python_does_not_print_is_written() -> None:
    assert len(text_of(10**5000)) == 5001


def test_long_results_lose_their_middle_and_say_so() -> None:
    result = result_of(ToolResult("a" * 900 + "b" * 900, {"paid": 1.0}), max_chars=100)
    assert result.content == "a" * 50 + "\n[1700 characters are left out here]\n" + "b" * 50
    assert result.rewards == {"paid": 1.0}
