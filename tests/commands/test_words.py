from __future__ import annotations

import pytest

from r1ray.commands.words import Word, parse


@pytest.mark.parametrize("sign", ["", "+", "++"])
def test_signs_of_an_added_key_mean_nothing_and_the_first_equals_sign_ends_the_key(sign: str) -> None:
    assert parse(f"{sign}a.b=c=\nd") == Word("a.b", "c=\nd")


def test_a_word_is_shown_as_it_was_written() -> None:
    assert [str(parse(word)) for word in ("a=1", "~a.b")] == ["a=1", "~a.b"]
