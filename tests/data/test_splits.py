from __future__ import annotations

import pytest

from r1ray.data.splits import matches, of_split


@pytest.mark.parametrize(
    ("paths", "split", "found"),
    [
        (["data/train-00000-of-00001.parquet", "data/test-00000-of-00001.parquet"], "test", [1]),
        (["train/a.jsonl", "valid/a.jsonl", "README"], "validation", [1]),
        (["a.jsonl", "b.jsonl"], "train", [0, 1]),
        (["a.jsonl", "test.jsonl"], "train", []),
        (["a.jsonl", "b.jsonl"], "test", []),
        (["hard-00000-of-00002.parquet", "hard-00001-of-00002.parquet", "easy.parquet"], "hard", [0, 1]),
        (["latest.jsonl", "contest.jsonl"], "test", []),
    ],
)
def test_files_are_of_the_split_that_their_names_say(paths: list[str], split: str, found: list[int]) -> None:
    assert of_split(paths, split) == [paths[index] for index in found]


@pytest.mark.parametrize(
    ("path", "pattern", "is_match"),
    [
        ("data/a.jsonl", "data/*.jsonl", True),
        ("data/x/a.jsonl", "data/*.jsonl", False),
        ("data/x/y/a.jsonl", "data/**/*.jsonl", True),
        ("data/a.jsonl", "data/**/*.jsonl", True),
        ("data/a1.jsonl", "data/a[!2].jsonl", True),
        ("data/a2.jsonl", "data/a[!2].jsonl", False),
        ("data/a+.jsonl", "data/a+.jsonl", True),
        ("data/b.jsonl", "data/?.jsonl", True),
    ],
)
def test_a_star_stays_in_its_folder(path: str, pattern: str, is_match: bool) -> None:
    assert matches(path, pattern) == is_match
