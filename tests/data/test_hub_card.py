from __future__ import annotations

from typing import Any

import pytest

from r1ray.data.hub_card import card_of, files_of_part
from r1ray.errors import UserError

LISTING = ["README.md", "a/train.csv", "a/val.csv", "b/one.csv", "b/two.csv", ".gitattributes", "a/_x.csv"]


def part(entry: dict[str, Any] | None, config: str | None, split: str) -> list[str]:
    card = {} if entry is None else {"configs": [{"config_name": "c", **entry}]}
    return files_of_part(card, LISTING, config=config, split=split, named="k=x")


@pytest.mark.parametrize(
    ("entry", "config", "split", "found"),
    [
        ({"data_files": "b/*.csv"}, None, "train", ["b/one.csv", "b/two.csv"]),
        ({"data_files": ["b/one.csv"]}, "c", "train", ["b/one.csv"]),
        ({"data_files": {"dev": "a/val.csv"}}, "c", "validation", ["a/val.csv"]),
        (
            {"data_files": [{"split": "x", "path": ["b/one.csv", "./a/*.csv"]}]},
            "c",
            "x",
            ["a/train.csv", "a/val.csv", "b/one.csv"],
        ),
        ({"data_dir": "a"}, "c", "val", ["a/val.csv"]),
        ({"data_dir": "./b", "data_files": "o*.csv"}, "c", "train", ["b/one.csv"]),
        (None, None, "train", ["a/train.csv"]),
        (None, "b", "train", ["b/one.csv", "b/two.csv"]),
    ],
)
def test_the_files_of_a_part(entry: dict[str, Any] | None, config: str | None, split: str, found: list[str]) -> None:
    assert part(entry, config, split) == found


@pytest.mark.parametrize(
    ("entry", "config", "split", "message"),
    [
        ({"data_files": "b/*.csv"}, "d", "train", r"^k=x: the data set has no config d; needs one of c\.$"),
        ({"data_files": "b/*.csv"}, "c", "test", r"no files of the split test; there are train\.$"),
        ({"data_files": "b/*.txt"}, "c", "train", r"no files of the split train; there are train\.$"),
        (None, "z", "train", r"no config z; its card names none, and no folder"),
        (None, "b", "test", r"no files of the split test; no file's name says of which split it is"),
    ],
)
def test_a_part_that_is_not_there(entry: dict[str, Any] | None, config: str, split: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        part(entry, config, split)


@pytest.mark.parametrize("readme", ["# Sums", "---\n[: oops\n---\n", "---\n- a\n---\n", ""])
def test_a_readme_without_a_card_says_nothing(readme: str) -> None:
    assert card_of(readme) == {}
