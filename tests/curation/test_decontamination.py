from __future__ import annotations

import random
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from r1ray.curation.decontamination import Contamination, Overlap
from r1ray.curation.words import words

LONG = (
    "Janet's ducks lay 16 eggs per day. She eats three for breakfast every morning and bakes muffins for her friends "
    "every day with four. How much does she make at $2 per egg?"
)
CHINESE = "小明的妈妈买了二十四个苹果,平均分给六个小朋友,每个小朋友可以分到多少个苹果?"
ENGLISH = st.lists(st.text("abcdefghijklm0123456789", min_size=3, max_size=8), min_size=8, max_size=40)
OTHER = st.lists(st.text("nopqrstuvwxyz", min_size=1, max_size=8), max_size=60)
GAPS = st.sampled_from([" ", "  ", "\n", ", ", ". ", "; ", "! ", " ** ", " \u2014 ", "\u3000", ": "])


def known(*questions: str, n: int = 13) -> Contamination:
    contamination = Contamination(n)
    for i, question in enumerate(questions):
        contamination.add("set", f"q{i}", question)
    return contamination


def joined(said: Sequence[str], gaps: Sequence[str]) -> str:
    return "".join(word + gap for word, gap in zip(said, gaps, strict=True))


@given(ENGLISH, OTHER, OTHER, st.data())
def test_a_planted_question_is_found_under_changes_of_case_space_and_punctuation(
    question: list[str], before: list[str], after: list[str], data: st.DataObject
) -> None:
    gaps = data.draw(st.lists(GAPS, min_size=len(question), max_size=len(question)))
    case = data.draw(st.sampled_from([str.upper, str.lower, str.title, str.swapcase]))
    planted = f"{' '.join(before)} {joined([case(word) for word in question], gaps)} {' '.join(after)}"
    assert Overlap("set", "q0", 1.0) in known(" ".join(question)).find(planted)


@given(st.lists(ENGLISH.map(" ".join), min_size=1, max_size=5), st.lists(OTHER.map(" ".join), max_size=5))
def test_texts_of_other_words_hold_no_question(questions: list[str], texts: list[str]) -> None:
    contamination = known(*questions)
    assert all(contamination.find(text) == [] for text in texts)


@given(st.lists(ENGLISH.map(" ".join), min_size=1, max_size=30))
def test_every_question_is_found_in_itself_also_where_many_are_equal(questions: list[str]) -> None:
    contamination = known(*(questions * 12))
    for i, question in enumerate(questions):
        assert Overlap("set", f"q{i}", 1.0) in contamination.find(question)


@pytest.mark.parametrize(
    "text",
    [
        LONG,
        LONG.upper().replace(".", " ,"),
        f"Solve this: **{LONG}** Think step by step.",
        LONG.replace("Janet's", "Janet\u2019s").replace(" ", "\n"),
    ],
)
def test_a_question_is_found_inside_of_a_prompt(text: str) -> None:
    assert known(LONG).find(text) == [Overlap("set", "q0", 1.0)]


def test_a_part_of_a_question_has_its_share() -> None:
    half = " ".join(LONG.split()[:20])
    (found,) = known(LONG).find(half)
    total = len(words(LONG)) - 12
    assert found.share == pytest.approx((len(words(half)) - 12) / total)


def test_the_same_story_with_other_numbers_is_found_by_what_is_left() -> None:
    text = LONG.replace("16", "20").replace("$2", "$3")
    (found,) = known(LONG).find(text)
    assert 0 < found.share < 1


def test_numbers_and_operators_tell_short_questions_apart() -> None:
    contamination = known("Simplify the expression 24a + 4 - 3b.")
    assert contamination.find(r"Please simplify the expression $24a+4-3b$ now")
    assert contamination.find("Simplify the expression 24a - 4 - 3b.") == []
    assert contamination.find("Simplify the expression 24a + 5 - 3b.") == []


def test_a_question_that_is_too_short_is_counted_and_never_found() -> None:
    contamination = known("What is it?", "Is it so, or is it?", LONG)
    assert contamination.find("Tell me, what is it? Is it so, or is it?") == []
    report = contamination.report()
    assert (report.num_questions, report.num_too_short) == ({"set": 1}, {"set": 2})


def test_chinese_questions_are_found_long_and_short() -> None:
    short = "中华人民共和国的首都是哪里?"
    contamination = known(CHINESE, short, n=20)
    assert contamination.find(f"请回答:{CHINESE.replace(',', ' ')}") == [Overlap("set", "q0", 1.0)]
    assert contamination.find("请问,中华人民共和国的首都 是哪里") == [Overlap("set", "q1", 1.0)]
    assert contamination.find("美利坚合众国的首都是哪里?小红的爸爸买了三十个梨。") == []


def test_a_text_shorter_than_a_question_holds_none() -> None:
    assert known(LONG).find("Janet's ducks lay 16 eggs") == known(LONG).find("") == []


def test_a_phrase_of_the_benchmark_is_no_question() -> None:
    phrase = "The input is given from Standard Input in the following format on a line of its own:"
    tasks = [f"{phrase} {' '.join(random.Random(i).choices(LONG.split(), k=30))}" for i in range(20)]
    contamination = known(*tasks)
    assert contamination.find(f"{phrase} something else entirely") == []
    assert contamination.find(tasks[3])[0] == Overlap("set", "q3", 1.0)


def test_questions_added_after_a_search_are_found() -> None:
    contamination = known(LONG)
    assert contamination.find(CHINESE) == []
    contamination.add("other", "c", CHINESE)
    assert contamination.find(f"{CHINESE} {LONG}") == [Overlap("other", "c", 1.0), Overlap("set", "q0", 1.0)]


def test_the_report_counts_texts_by_benchmark_and_shows_the_largest_overlap() -> None:
    contamination = known(LONG, " ".join(LONG.split()[:16]) + " and then something else happens to all of them")
    contamination.add("other", "c", CHINESE)
    contamination.add("clean", "d", "A question that nobody ever wrote into any training text, as far as we can tell")
    report = contamination.report()
    for name, text in (("t0", LONG), ("t1", "nothing of the sort"), ("t2", f"{LONG} {CHINESE}")):
        report.record(name, contamination.find(text))
    assert (report.num_texts, report.num_found) == (3, 2)
    assert report.num_texts_by_benchmark == {"clean": 0, "other": 1, "set": 2}
    assert report.examples == {"clean": [], "other": [("t2", "c", 1.0)], "set": [("t0", "q0", 1.0), ("t2", "q0", 1.0)]}


def test_an_ngram_has_at_least_a_word() -> None:
    with pytest.raises(ValueError, match="n is 0"):
        Contamination(0)
