"""Languages in Latin letters, word by word."""

from __future__ import annotations

import random

from r1ray.data.latin import BLOCK, NO_LANGUAGE, TARGETS, best_language, latin_languages
from tests.growth import assert_linear

ENGLISH = ["we", "add", "the", "two", "numbers", "and", "check", "that", "the", "result", "is", "right"]
GERMAN = ["wir", "addieren", "die", "beiden", "Zahlen", "und", "prüfen", "ob", "das", "Ergebnis", "stimmt"]


def test_every_language_that_can_be_asked_for_is_one_of_the_model() -> None:
    assert all(best_language(["a"], [language]) == language for language in TARGETS)


def test_each_word_of_a_mixed_sentence_gets_its_language() -> None:
    (found,) = latin_languages([[*ENGLISH, *GERMAN]], likely=["en", "de"])
    wanted = ["en"] * len(ENGLISH) + ["de"] * len(GERMAN)
    assert sum(a != b for a, b in zip(found, wanted, strict=True)) <= 2


def test_a_language_that_nobody_expects_is_found_where_it_is_clear() -> None:
    assert latin_languages([ENGLISH, GERMAN], likely=["en"]) == [["en"] * 12, ["de"] * 11]


def test_a_short_sentence_keeps_the_language_of_its_neighbours() -> None:
    assert latin_languages([ENGLISH, ["Simplify"], ["no"], ENGLISH], likely=["en", "de"])[1:3] == [["en"], ["en"]]


def test_words_of_no_language_are_of_none() -> None:
    noise = ["fjdksl", "aowie", "nvmxc", "qpwoe", "irutz", "alskd", "jfhgm", "znxbc", "vqmwn", "ebrvt"]
    assert set(latin_languages([noise], likely=["en"])[0]) <= set(NO_LANGUAGE)


def test_long_texts_are_judged_in_pieces_and_no_word_is_lost() -> None:
    sentences = [ENGLISH, [], GERMAN] * (BLOCK // 20)
    found = latin_languages(sentences, likely=["en"])
    assert [len(sentence) for sentence in found] == [len(sentence) for sentence in sentences]
    assert {tuple(each) for each in found[::3]} == {("en",) * 12}
    assert latin_languages([], likely=["en"]) == [] and latin_languages([[]], likely=["en"]) == [[]]


def test_time_is_linear_in_the_number_of_words() -> None:
    draw = random.Random(0)

    def work(text: str) -> None:
        words = text.split()
        latin_languages([words[i : i + 20] for i in range(0, len(words), 20)], likely=["en"])

    assert_linear(work, lambda size: " ".join(draw.choices(ENGLISH + GERMAN, k=size)), 8_000)
