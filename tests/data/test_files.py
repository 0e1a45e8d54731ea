"""Which files a value names."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from r1ray.config.sources import Source
from r1ray.data.files import find_files, states_of
from r1ray.errors import UserError


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("b.jsonl", "a.jsonl", "more/c.jsonl.zst", "_SUCCESS", ".hidden.jsonl", "notes.txt", "_x/d.jsonl"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text("{}")
    return tmp_path


def names(source: Source) -> list[str]:
    return [os.path.basename(file.path) for file in find_files(source, key="data.train")]


def test_a_folder_is_its_files_of_rows_in_order(folder: Path) -> None:
    assert names(str(folder)) == ["a.jsonl", "b.jsonl", "c.jsonl.zst"]


def test_a_glob_is_what_it_matches(folder: Path) -> None:
    assert names(f"{folder}/[ab].jsonl") == ["a.jsonl", "b.jsonl"]
    assert names(f"{folder}/**/c*") == ["c.jsonl.zst"]


def test_a_file_whose_name_looks_like_a_glob_is_itself(folder: Path) -> None:
    (folder / "a[1].jsonl").write_text("{}")
    assert names(f"{folder}/a[1].jsonl") == ["a[1].jsonl"]


def test_a_list_keeps_its_order(folder: Path) -> None:
    assert names([f"{folder}/b.jsonl", f"{folder}/a.jsonl"]) == ["b.jsonl", "a.jsonl"]


def test_the_ending_of_a_link_says_the_format(folder: Path) -> None:
    (folder / "4f2a").write_text("{}")
    (folder / "link.csv").symlink_to(folder / "4f2a")
    (file,) = find_files(str(folder / "link.csv"), key="data.train")
    assert (file.format, file.codec) == ("csv", None)


def test_an_address_is_listed_as_a_folder_is(folder: Path) -> None:
    assert names(f"file://{folder}") == ["a.jsonl", "b.jsonl", "c.jsonl.zst"]
    assert names(f"file://{folder}/**/c*.zst") == ["c.jsonl.zst"]
    assert names(f"file://{folder}/a.jsonl") == ["a.jsonl"]


@pytest.mark.parametrize(
    ("made", "source", "message"),
    [
        ((), "{}/no.jsonl", "data.train={}/no.jsonl: no such file; needs a Parquet"),
        ((), "{}/no*.jsonl", "data.train={}/no*.jsonl: no file matches"),
        ((), "file://{}/no*.jsonl", "data.train=file://{}/no*.jsonl: no file matches"),
        ((), "file://{}/no.jsonl", "no such file"),
        (("x/notes.txt",), "{}/x", "data.train={}/x: the folder has no file that ends in one of .parquet, .jsonl"),
        (("x/train.jsonl", "x/test.jsonl"), "{}/x", "the folder has files of several splits (test, train); needs a gl"),
        (("x/a.jsonl", "x/a.csv"), "{}/x", "the folder has files of several formats (csv, json)"),
        (("x/train.jsonl", "x/test.jsonl"), "file://{}/x", "files of several splits (test, train)"),
        (
            ("x/train.jsonl", "x/test.jsonl"),
            "{}/x/*.jsonl",
            "{}/x/*.jsonl: the glob matches files of several splits (te",
        ),
        (
            ("x/train.jsonl", "x/test.jsonl"),
            "file://{}/x/t*",
            "needs one that names the split that is meant, such as f",
        ),
        (("train/a.jsonl", "val/a.jsonl"), "{}/?*/a.jsonl", "such as {}/*validation*, or a list of the files"),
    ],
)
def test_what_is_no_one_table_is_refused(tmp_path: Path, made: tuple[str, ...], source: str, message: str) -> None:
    for name in made:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("{}")
    with pytest.raises(UserError) as refused:
        find_files(source.format(tmp_path), key="data.train")
    assert message.format(tmp_path) in str(refused.value)


@pytest.mark.parametrize("scheme", ["", "file://"])
def test_a_glob_may_name_the_split_itself(tmp_path: Path, scheme: str) -> None:
    for name in ("test/train-0.jsonl", "test/test-0.jsonl", "test/latest.jsonl", "test/b_eval_train.jsonl"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("{}")
    root = f"{scheme}{tmp_path}/test"
    assert names(f"{root}/*train*") == ["b_eval_train.jsonl", "train-0.jsonl"]
    assert names(f"{root}/*est.jsonl") == ["latest.jsonl"], "what stands before the signs names no split"
    assert names([f"{root}/test*.jsonl", f"{root}/train*"]) == ["test-0.jsonl", "train-0.jsonl"]
    with pytest.raises(UserError, match=r"several splits \(test, train\)"):
        names(f"{root}/*0.jsonl")
    assert len(find_files(f"{root}/*0.jsonl", key="data", of_one_split=False)) == 2


def test_a_file_that_is_there_twice_is_refused(folder: Path) -> None:
    with pytest.raises(UserError, match=r"data.train: the file .*a.jsonl is there twice"):
        find_files([f"{folder}/a.jsonl", f"{folder}/*.jsonl"], key="data.train")


def test_a_state_tells_versions_of_every_file_apart(folder: Path) -> None:
    before = states_of(f"{folder}/*.jsonl")
    (folder / "b.jsonl").write_text('{"a": 1}')
    after = states_of(f"{folder}/*.jsonl")
    assert before.keys() == after.keys() == {f"{folder}/a.jsonl", f"{folder}/b.jsonl"}
    assert [path for path in before if before[path] != after[path]] == [f"{folder}/b.jsonl"]
    assert states_of(f"{folder}/no.jsonl") == {}
