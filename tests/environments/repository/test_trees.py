"""Paths and trees of repositories."""

from __future__ import annotations

import io
import tarfile

import pytest

from r1ray.environments.repository import trees
from r1ray.environments.repository.trees import packed, path_problem, tree_problem


@pytest.mark.parametrize(
    "path",
    ["", "/etc/passwd", "../a", "a/../../b", "a/..", "a//b", "./a", "a/", "a\0b", "a\nb", "a\\b", "a/" * 300 + "b"],
)
def test_a_path_that_is_none_below_a_folder_is_refused(path: str) -> None:
    assert path_problem(path) is not None


@pytest.mark.parametrize("path", ["a", "a/b.py", ".github/x", "a..b", "a b", "\u00e9.py"])
def test_other_paths_are_taken(path: str) -> None:
    assert path_problem(path) is None


def test_a_file_cannot_be_the_folder_of_another_one() -> None:
    assert tree_problem({"a": b"", "a/b": b""}) == "a is a file, and the folder of a/b"


def test_a_tree_has_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trees, "MAX_FILES", 2)
    monkeypatch.setattr(trees, "MAX_FILE_BYTES", 10)
    assert tree_problem({"a": b"", "b": b""}) is None
    assert tree_problem(dict.fromkeys("abc", b"")) == "more than 2 files"
    assert "a has more than" in str(tree_problem({"a": b"x" * 11}))


def test_a_packed_tree_has_every_file_and_is_the_same_each_time() -> None:
    tree = {"b/c.py": b"1", "a": b"\xff"}
    with tarfile.open(fileobj=io.BytesIO(packed(tree))) as archive:
        assert [member.name for member in archive] == ["a", "b/c.py"]
    assert packed(tree) == packed(dict(reversed(tree.items())))
