"""Snapshots: what is read, and what is refused, by kind."""

from __future__ import annotations

import gzip
import io
import os
import tarfile
import zipfile
from pathlib import Path

import pytest

from r1ray.environments.repository import archives
from r1ray.environments.repository.archives import snapshot_at, tree_of
from r1ray.environments.repository.trees import Tree, packed

TREE: Tree = {"a.py": b"print(1)\n", "b/c.txt": b"\xff\x00"}


def tar_of(*members: tarfile.TarInfo, content: bytes = b"x") -> bytes:
    sink = io.BytesIO()
    with tarfile.open(fileobj=sink, mode="w") as archive:
        for member in members:
            member.size = len(content) if member.isreg() else 0
            archive.addfile(member, io.BytesIO(content) if member.isreg() else None)
    return sink.getvalue()


def member(name: str, kind: bytes = tarfile.REGTYPE, link: str = "") -> tarfile.TarInfo:
    made = tarfile.TarInfo(name)
    made.type, made.linkname = kind, link
    return made


def zip_of(files: dict[str, bytes], *, mode: int = 0, compression: int = zipfile.ZIP_DEFLATED) -> bytes:
    sink = io.BytesIO()
    with zipfile.ZipFile(sink, "w", compression) as archive:
        for name, content in files.items():
            info = zipfile.ZipInfo(name)
            info.external_attr, info.compress_type = mode << 16, compression
            archive.writestr(info, content)
    return sink.getvalue()


@pytest.mark.parametrize("data", [packed(TREE), gzip.compress(packed(TREE)), zip_of(TREE)])
def test_an_archive_is_read_by_what_it_is(data: bytes) -> None:
    assert tree_of(data) == TREE


@pytest.mark.parametrize("name", ["PKG-INFO", "# v2 git bundle"])
def test_a_tar_file_is_one_whatever_its_first_file_is_called(name: str) -> None:
    assert tree_of(packed({name: b"1"})) == {name: b"1"}


def test_folders_and_what_is_gits_own_are_left_out() -> None:
    data = tar_of(
        member("./", tarfile.DIRTYPE), member("./b/", tarfile.DIRTYPE), member("./b/c"), member(".git/config")
    )
    assert tree_of(data) == {"b/c": b"x"}


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        (tar_of(member("../a")), "leads out of the repository"),
        (tar_of(member("a/../../b")), "leads out of the repository"),
        (tar_of(member("/etc/passwd")), "is absolute"),
        (zip_of({"../a": b""}), "leads out of the repository"),
        (zip_of({"/a": b""}), "is absolute"),
        (zip_of({"C:\\a": b""}), "has characters that are refused"),
        (tar_of(member("a", tarfile.SYMTYPE, "/etc/passwd")), "a is a link"),
        (tar_of(member("b"), member("a", tarfile.LNKTYPE, "b")), "a is a link"),
        (zip_of({"a": b"/etc/passwd"}, mode=0o120777), "a is a link"),
        (tar_of(member("a", tarfile.FIFOTYPE)), "a is a device or the like"),
        (tar_of(member("a", tarfile.CHRTYPE)), "a is a device or the like"),
        (tar_of(member("a"), member("./a")), "a is in it twice"),
        (tar_of(member("a"), member("a/b")), "a is a file, and the folder of a/b"),
        (tar_of(), "it has no files"),
        (zip_of({}), "it has no files"),
        (b"", "needs a .tar.gz"),
        (b"hello", "needs a .tar.gz"),
        (b"PK" + b"hello" * 9, "needs a .tar.gz"),
        (gzip.compress(packed(TREE))[:-20], "cut short"),
        (b"\x1f\x8b" + b"hello" * 9, "compression is damaged"),
        (packed(TREE)[:700], "needs a .tar.gz"),
    ],
)
def test_an_archive_that_is_no_tree_of_files_is_refused_by_kind(data: bytes, problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        tree_of(data)


@pytest.mark.parametrize("piece", [1, 100, archives.PIECE])
def test_a_gzip_file_may_have_many_members(monkeypatch: pytest.MonkeyPatch, piece: int) -> None:
    monkeypatch.setattr(archives, "PIECE", piece)
    whole = packed(TREE)
    members = [gzip.compress(whole[at : at + 512]) for at in range(0, len(whole), 512)]
    assert tree_of(b"".join([*members, gzip.compress(b""), b"\0" * 9])) == TREE
    with pytest.raises(ValueError, match="cut short"):
        tree_of(b"".join(members)[:-1])
    with pytest.raises(ValueError, match="compression is damaged"):
        tree_of(b"".join(members) + b"more")


def test_what_unpacks_to_too_much_is_refused_before_it_is_unpacked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archives, "MAX_UNPACKED", 1 << 20)
    bomb = b"\0" * (8 << 20)
    with pytest.raises(ValueError, match="unpacks to more than 1 MiB"):
        tree_of(gzip.compress(tar_of(member("a"), content=bomb)))
    with pytest.raises(ValueError, match="unpacks to more than"):
        tree_of(zip_of({"a": bomb}))


def test_a_zip_that_says_less_than_it_has_is_refused() -> None:
    data = bytearray(zip_of({"a": b"x" * 1000}, compression=zipfile.ZIP_STORED))
    at = data.index(b"PK\x01\x02") + 24
    data[at : at + 4] = (10).to_bytes(4, "little")
    with pytest.raises(ValueError, match=r"needs a \.tar\.gz"):
        tree_of(bytes(data))


def test_a_commit_is_of_a_git_bundle() -> None:
    with pytest.raises(ValueError, match="needs a git bundle"):
        tree_of(packed(TREE), commit="abcdef1")


def test_a_file_is_read_once_until_it_changes(tmp_path: Path) -> None:
    path = tmp_path / "a.tar"
    path.write_bytes(packed(TREE))
    first = snapshot_at(path)
    assert snapshot_at(path) is first
    path.write_bytes(packed({"other": b""}))
    os.utime(path, ns=(1, 1))
    assert snapshot_at(path) == {"other": b""}


def test_a_missing_file_a_folder_and_a_large_one_are_told_apart(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "large").write_bytes(b"x" * 100)
    monkeypatch.setattr(archives, "MAX_ARCHIVE_BYTES", 99)
    for name, problem in (("missing", "there is no file"), ("", "is not a file"), ("large", "has 100 bytes")):
        with pytest.raises(ValueError, match=problem):
            snapshot_at(tmp_path / name)
