from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from r1ray.curation.duplicates import NearDuplicates, bands
from r1ray.curation.words import words

VOCABULARY = [f"word{chr(97 + i // 26)}{chr(97 + i % 26)}" for i in range(400)]
CHINESE = "一个水池有两根进水管和一根出水管,单开甲管需要六小时注满,单开乙管需要八小时注满,单开丙管需要十二小时放完。"
TEXTS = st.lists(st.lists(st.sampled_from("abcdef"), max_size=14).map(" ".join), max_size=12)


def text(seed: int, num_words: int = 200) -> str:
    return " ".join(random.Random(seed).choices(VOCABULARY, k=num_words))


def changed(original: str, *, num_words: int, seed: int = 0) -> str:
    """The text with so many of its words replaced."""
    said = original.split()
    for place in random.Random(seed).sample(range(len(said)), num_words):
        said[place] = "other"
    return " ".join(said)


def jaccard(one: str, other: str, n: int = 5) -> float:
    sets = [{tuple(said[i : i + n]) for i in range(len(said) - n + 1)} for said in (words(one), words(other))]
    return len(sets[0] & sets[1]) / len(sets[0] | sets[1])


def kept(texts: list[str], *, threshold: float = 0.8, seed: int = 1) -> list[str]:
    known = NearDuplicates(threshold, seed=seed)
    return [text for i, text in enumerate(texts) if known.seen(str(i), text) is None]


def test_case_punctuation_and_spacing_make_no_new_text() -> None:
    known = NearDuplicates()
    assert known.seen("a", "Find $x$ if 24x+4 = 100, please.") is None
    assert known.seen("b", "find x if\n24 x + 4 = 100 PLEASE!") == "a"


def test_small_changes_are_found_and_large_ones_are_not() -> None:
    known = NearDuplicates()
    originals = {str(i): text(i) for i in range(50)}
    for name, original in originals.items():
        assert known.seen(name, original) is None
    for name, original in originals.items():
        near, far = changed(original, num_words=3), changed(original, num_words=12)
        assert jaccard(original, near) >= 0.8 > jaccard(original, far)
        assert known.seen("near", near) == name
        assert known.seen(f"far {name}", far) is None


def test_a_pair_at_the_threshold_is_decided_exactly() -> None:
    original, near = text(0, 103), " ".join(text(0, 103).split()[11:])
    similarity = jaccard(original, near)  # 88 of 99 n-grams
    assert similarity == pytest.approx(88 / 99)
    assert kept([original, near], threshold=88 / 99) == [original]
    assert kept([original, near], threshold=88 / 99 + 1e-9) == [original, near]


def test_chinese_is_compared_by_characters() -> None:
    known = NearDuplicates(0.7)
    assert known.seen("a", CHINESE) is None
    assert known.seen("b", CHINESE.replace("。", "!").replace("水池", "水 池")) == "a"
    assert known.seen("c", CHINESE.replace("十二", "十五")) == "a"
    assert known.seen("d", "甲乙两地相距三百千米,两车同时从两地相向而行,问多少小时后两车相遇?") is None


def test_short_problems_with_other_numbers_are_other_problems() -> None:
    texts = [f"A train goes {a} miles in {b} hours. How fast is it?" for a in (60, 90) for b in (2, 3)]
    assert kept(texts) == texts


def test_texts_shorter_than_an_ngram_are_duplicates_where_they_are_equal() -> None:
    assert kept(["What is 2+3?", "what is 2 + 3", "What is 2-3?", "What is 2"]) == [
        "What is 2+3?",
        "What is 2-3?",
        "What is 2",
    ]


def test_texts_without_words_are_kept() -> None:
    assert kept(["???", "", "???"]) == ["???", "", "???"]


def test_the_earliest_kept_text_is_named() -> None:
    known = NearDuplicates(0.5)
    first, second = text(0), changed(text(0), num_words=20)
    assert jaccard(first, second) < 0.5
    assert [known.seen("a", first), known.seen("b", second)] == [None, None]
    assert known.seen("c", changed(first, num_words=1)) == "a"


def test_a_chain_of_small_changes_ends_when_it_has_left_what_was_kept() -> None:
    chain = [" ".join(text(0, 260).split()[start : start + 200]) for start in range(0, 60, 10)]
    assert kept(chain) == [chain[0], chain[3]]


@given(TEXTS)
def test_removing_duplicates_twice_removes_nothing_more(texts: list[str]) -> None:
    once = kept(texts, threshold=0.6)
    assert kept(once, threshold=0.6) == once


@given(TEXTS)
def test_what_is_kept_depends_only_on_what_came_before(texts: list[str]) -> None:
    whole = kept(texts, threshold=0.6)
    for end in range(len(texts)):
        assert kept(texts[:end], threshold=0.6) == whole[: len(kept(texts[:end], threshold=0.6))]


@given(TEXTS, st.integers(1, 5))
def test_only_texts_as_similar_as_the_threshold_are_removed(texts: list[str], seed: int) -> None:
    known = NearDuplicates(0.6, seed=seed)
    by_name = {str(i): text for i, text in enumerate(texts)}
    for name, later in by_name.items():
        earlier = known.seen(name, later)
        if earlier is not None:
            assert words(by_name[earlier]) == words(later) or jaccard(by_name[earlier], later) >= 0.6


def test_the_report_counts_and_shows() -> None:
    known = NearDuplicates(0.8, seed=3)
    for name, said in (("a", text(0)), ("b", text(0)), ("c", text(1))):
        known.seen(name, said)
    report = known.report()
    assert (report.num_texts, report.num_removed, report.examples) == (3, 1, (("b", "a"),))
    assert (report.threshold, report.n, report.seed) == (0.8, 5, 3)


@pytest.mark.parametrize("threshold", [0.3, 0.5, 0.7, 0.8, 0.9, 0.95])
@pytest.mark.parametrize("recall", [0.9, 0.99])
def test_bands_find_a_pair_at_the_threshold_with_the_recall(threshold: float, recall: float) -> None:
    num, rows = bands(threshold, recall=recall)
    assert num * rows <= 128
    assert 1 - (1 - threshold**rows) ** num >= recall


@pytest.mark.parametrize("bad", [{"threshold": 0.0}, {"threshold": 1.1}, {"recall": 1.0}, {"n": 0}])
def test_shares_out_of_range_are_refused(bad: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="threshold="):
        NearDuplicates(**bad)  # type: ignore[arg-type]
