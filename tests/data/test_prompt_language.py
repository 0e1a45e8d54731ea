"""The language of a question, on tests/reward/data/languages.jsonl (written by hand)."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pytest

from r1ray.data.prompt_language import LANGUAGES, known_languages, prompt_language
from r1ray.errors import UserError
from tests.growth import assert_linear

SET = Path(__file__).parents[1] / "reward" / "data" / "languages.jsonl"
ROWS = [json.loads(line) for line in SET.read_text(encoding="utf-8").splitlines()]


def test_the_set_has_ten_questions_of_each_kind_in_each_language() -> None:
    counts = Counter((row["language"], row["kind"]) for row in ROWS)
    assert counts == {(language, kind): 10 for language in LANGUAGES for kind in ("two", "short")}
    assert len({row["text"] for row in ROWS}) == len(ROWS)


@pytest.mark.parametrize(("kind", "least"), [("two", 0.98), ("short", 0.95)])
def test_questions_get_their_language(kind: str, least: float) -> None:
    rows = [row for row in ROWS if row["kind"] == kind]
    right = [prompt_language(row["text"]) == row["language"] for row in rows]
    assert sum(right) / len(rows) >= least


@pytest.mark.parametrize(
    ("text", "languages", "language"),
    [
        ("Sommiamo i due numeri e controlliamo il risultato.", ("en", "it"), "it"),
        ("Somme $f(x)$ et $\\text{the value of the sum is}$ de la suite.", ("en", "fr"), "fr"),
        ("求解。\n```python\nprint('the answer is')  # and this is the code\n```", LANGUAGES, "zh"),
        ("Додайте два числа.", ("en", "uk"), "uk"),
        ("Додайте два числа.", ("en", "zh"), "ru"),
        ("Was ist 3+4?", ("de-AT", "en"), "de-AT"),
        ("What is 3+4?", ("zh",), "en"),
        ("A fraction?", LANGUAGES, "en"),
        ("$x^2 = 4$", LANGUAGES, "en"),
        ("", LANGUAGES, "en"),
    ],
)
def test_the_language_is_one_of_those_that_the_data_hold(text: str, languages: tuple[str, ...], language: str) -> None:
    assert prompt_language(text, languages) == language


def test_languages_that_nobody_can_tell_are_refused() -> None:
    assert known_languages(None) == LANGUAGES and known_languages(["it", "zh-TW"]) == ["it", "zh-TW"]
    with pytest.raises(UserError, match=r"data\.languages: 'klingon'"):
        known_languages(["en", "klingon"])


@pytest.mark.parametrize("unit", ["a", "a ", "好", "$", "das "])
def test_a_megabyte_takes_linear_time(unit: str) -> None:
    assert_linear(prompt_language, lambda size: unit * size, 200_000)
