from __future__ import annotations

from typing import Any

import pytest

from r1ray.commands.compose import compose
from r1ray.config.sources import name_of, texts_of
from r1ray.errors import UserError

OWN = ["model=m", "data.train=t"]


@pytest.mark.parametrize(
    ("word", "value"),
    [
        ("data.train=rows/*.jsonl", "rows/*.jsonl"),
        ("data.train=hf://openai/gsm8k@main:main/train", "hf://openai/gsm8k@main:main/train"),
        ("data.train=[a.jsonl,b/*.parquet]", ["a.jsonl", "b/*.parquet"]),
        ("data.train=[hf://openai/gsm8k@main:main/train,b.csv]", ["hf://openai/gsm8k@main:main/train", "b.csv"]),
    ],
)
def test_a_source_is_a_text_or_several(word: str, value: Any) -> None:
    assert compose([*OWN, word]).data.train == value


def test_held_out_sets_have_names() -> None:
    made = compose([*OWN, "data.eval={aime: a.jsonl, math: [b.parquet, c.csv]}"]).data.eval
    assert made == {"aime": "a.jsonl", "math": ["b.parquet", "c.csv"]}
    assert texts_of(made) == ["a.jsonl", "b.parquet", "c.csv"]
    assert compose([*OWN, "data.eval.aime=a.jsonl"]).data.eval == {"aime": "a.jsonl"}


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("data.train=[]", r"data.train=\[\]: needs a path, or a list of paths"),
        ("data.train={a: b}", r"data.train={'a': 'b'}: needs a path"),
        ("data.train=[a,1]", r"data.train=\['a', 1\]: needs a path"),
        ("supervised.eval={a: b}", r"supervised.eval={'a': 'b'}: needs a path"),
        ("data.eval={}", r"data.eval={}: needs a path for each name"),
        ("data.eval={domain: a}", r"data.eval.domain: needs a name of letters"),
        ("data.eval.a/b=c", r"data.eval.a/b: needs a name of letters"),
        ("data.eval={a: {b: c}}", r"data.eval.a={'b': 'c'}: needs a path"),
        ("data.on_bad_row=drop", r"data.on_bad_row=drop: needs one of refuse, skip"),
    ],
)
def test_what_names_no_rows_is_refused(word: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        compose([*OWN, word])


@pytest.mark.parametrize(
    ("value", "name"),
    [
        ("heldout.parquet", "heldout"),
        ("rows/*.jsonl", "heldout"),
        (["a.jsonl", "b.jsonl"], "heldout"),
        ("hf://openai/gsm8k", "gsm8k"),
        ("s3://bucket/math_500.jsonl", "math_500"),
        ({"aime": "a.jsonl"}, ""),
        (None, ""),
    ],
)
def test_metrics_are_called_after_the_file(value: Any, name: str) -> None:
    assert name_of(value) == name
