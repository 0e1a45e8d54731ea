from __future__ import annotations

from pathlib import Path

import pytest

from r1ray.commands.run_dir_words import split_words
from r1ray.errors import UserError


def test_a_folder_and_keys_are_told_apart_in_any_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert split_words(["a=1", "runs/x", "b=2=3"], verb="v", keys=["a", "b"]) == ("runs/x", {"a": "1", "b": "2=3"})
    monkeypatch.chdir(tmp_path)
    (tmp_path / "lr=3").mkdir()
    assert split_words(["lr=3"], verb="v", keys=["a"]) == ("lr=3", {})


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "v needs one RUN_DIR, found 0: none"),
        (["x", "y"], "v needs one RUN_DIR, found 2: x, y"),
        (["x", "c=1"], "c=1: v has no such key; it has a, b"),
        (["x", "a="], "a: needs a value"),
    ],
)
def test_other_words_are_refused(words: list[str], message: str) -> None:
    with pytest.raises(UserError, match=message):
        split_words(words, verb="v", keys=["a", "b"])
