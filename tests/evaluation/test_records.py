"""What is written of a question is read again to the last digit."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from r1ray.evaluation.records import Answered, Sample, from_json, looks_for_answers, to_json

numbers = st.floats(allow_nan=False)
texts = st.text(st.characters(exclude_categories=[]), max_size=20)
samples = st.builds(
    Sample,
    text=texts,
    num_tokens=st.integers(0, 10**6),
    is_truncated=st.booleans(),
    extracted=st.none() | texts,
    value=st.none() | numbers,
    metrics=st.dictionaries(texts, numbers, max_size=3),
    detail=texts,
    score=st.none() | numbers,
)
questions = st.builds(
    Answered,
    id=texts,
    groups=st.dictionaries(texts, texts, max_size=2),
    num_prompt_tokens=st.integers(0, 10**6),
    samples=st.lists(samples, max_size=3).map(tuple),
    classes=st.none() | st.lists(st.none() | st.integers(0, 3), max_size=3).map(tuple),
)


@given(questions)
def test_a_question_is_read_as_it_was_written(question: Answered) -> None:
    line = json.dumps(to_json(question))
    assert "\n" not in line
    assert from_json(json.loads(line)) == question


@pytest.mark.parametrize(("value", "is_right"), [(1.0, True), (0.999, False), (0.0, False), (None, False)])
def test_only_a_full_mark_is_right(value: float | None, is_right: bool) -> None:
    sample = Sample(text="", num_tokens=0, is_truncated=False, extracted=None, value=value, metrics={}, detail="")
    assert sample.is_right is is_right


def judged(answer: str | None, value: float | None, detail: str = "") -> Answered:
    sample = Sample(text="", num_tokens=1, is_truncated=False, extracted=answer, value=value, metrics={}, detail=detail)
    return Answered(id="1", groups={}, num_prompt_tokens=1, samples=(sample,), classes=None)


@pytest.mark.parametrize(
    ("questions", "looks"),
    [
        ([judged("4", 1.0), judged(None, 0.0, "no_answer: none in an accepted form")], True),
        ([judged(None, 0.0, "no_answer")], True),
        ([judged(None, 0.0), judged("4", 0.0)], True),
        ([judged(None, 1.0), judged("by chance", 1.0)], False),
        ([judged(None, 0.0), judged(None, None)], False),
        ([], False),
    ],
)
def test_who_reads_the_whole_text_looks_for_no_answers(questions: list[Answered], looks: bool) -> None:
    assert looks_for_answers(questions) is looks


def test_another_row_is_refused() -> None:
    row = to_json(Answered(id="1", groups={}, num_prompt_tokens=3, samples=(), classes=None))
    with pytest.raises(TypeError):
        from_json({**row, "colour": "red"})
    with pytest.raises(KeyError):
        from_json({"id": "1"})
