from __future__ import annotations

import os
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from r1ray.curation.words import ngram_hashes, words
from tests.growth import assert_linear


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("What is 24a+4?", "what is  24 a + 4"),
        ("**Let** $x^{2} - 5 = 0$.", r"Let \(x^2-5=0\)"),
        ("1,000,000 people", "1000000 people"),
        (r"1{,}000 or 1\,000", "1000 or 1000"),
        ("don't", "don\u2019t"),
        ("a well-known fact \u2014 really", "a well known fact, really"),
        ("- 5 apples", "-5 apples"),
        ("10-year-old", "10 year old"),
        (r"\left( \frac{1}{2} \right)", r"\( \displaystyle \frac 1 2 \)"),
        ("\uff11\uff12\uff0b\uff13", "12+3"),
        ("x \u2212 1", "x - 1"),
        ("caf\u00e9", "cafe\u0301"),
        ("\u4f60\u597d,\u4e16\u754c\uff01", "\u4f60 \u597d \u4e16\u754c"),
        ("zero\u200bwidth", "zerowidth"),
        ("x_1 and snake_case", "x 1 and snake case"),
    ],
)
def test_what_says_nothing_changes_nothing(one: str, other: str) -> None:
    assert words(one) == words(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("24a+4", "24a-4"),
        ("24a+4", "24a+5"),
        ("3.5", "35"),
        ("x^2", "x2"),
        ("x = -5", "x = 5"),
        ("1/2", "12"),
        ("a < b", "a > b"),
        ("1, 2", "12"),
        ("\u4e00\u4e8c", "\u4e8c\u4e00"),
    ],
)
def test_numbers_and_operators_say_something(one: str, other: str) -> None:
    assert words(one) != words(other)


def test_text_without_words_has_none() -> None:
    assert words("") == words("?!... \U0001f600 --- $$ **") == []


@given(st.text(max_size=60))
def test_case_and_white_space_around_say_nothing(text: str) -> None:
    assert words(text) == words(f" \n{text}\t ")


def test_ngrams_that_differ_have_different_hashes() -> None:
    said = [str(i) for i in range(2000)]
    assert len(set(ngram_hashes(said, 3).tolist())) == 1998
    assert len({int(ngram_hashes(order, 3)[0]) for order in (["a", "b", "c"], ["c", "b", "a"], ["b", "a", "c"])}) == 3
    assert ngram_hashes(said[:2], 3).tolist() == []


def test_hashes_are_the_same_in_every_process() -> None:
    program = "from r1ray.curation.words import ngram_hashes; print(ngram_hashes('a b c d'.split(), 3).tolist())"
    found = {
        subprocess.run(
            [sys.executable, "-c", program],
            env=os.environ | {"PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    }
    assert found == {f"{ngram_hashes(list('abcd'), 3).tolist()}\n"}


@pytest.mark.parametrize("unit", ["-", " ", "- ", "a-", "1.", "\\", "'", "1,", "ab ", "ab- ", "{,}", "\u4f60", "+1"])
def test_time_is_linear(unit: str) -> None:
    assert_linear(words, lambda size: unit * size, 200_000 // len(unit))
