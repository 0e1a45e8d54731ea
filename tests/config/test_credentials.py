"""Addresses with passwords do not get into a configuration, and so not into run folders and logs."""

from __future__ import annotations

import pytest

from r1ray.commands.compose import compose
from r1ray.errors import UserError


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["data.train=s3://key:pass@bucket/rows.parquet"], "data.train=s3://...@bucket: has a password"),
        (["data.train=[/a, 's3://key:p/ss@bucket/b']"], ""),
        (["data.train=[/a, 's3://key:pass@bucket/b']"], "data.train=s3://...@bucket: has a password"),
        (["data.train=t", "output_dir=s3://:pass@bucket"], "output_dir=s3://...@bucket: has a password"),
        (["data.train=t", "judge.url=https://me:pass@host:8000/v1"], "judge.url=https://...@host:8000: has"),
        (["data.train=hf://openai/gsm8k@main:main/train"], ""),
        (["data.train=https://host:8000/a@b"], ""),
    ],
)
def test_an_address_with_a_password_is_refused_without_showing_it(words: list[str], said: str) -> None:
    if not said:
        compose(["model=m", *words])
        return
    with pytest.raises(UserError) as refused:
        compose(["model=m", *words])
    assert said in str(refused.value) and "pass@" not in str(refused.value)
