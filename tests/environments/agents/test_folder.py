from __future__ import annotations

import json
import tarfile
import zipfile
from collections.abc import Callable
from io import BytesIO
from pathlib import Path

import pytest

from r1ray.environments.agents import folder as module
from r1ray.environments.agents.folder import files_problem, new_folder, put, remove_folder, renew, write_file

TREE = {"a.py": "A = 1\n", "pkg/b.sh": "#!/bin/sh\n"}


def as_folder(tmp_path: Path) -> str:
    for name, text in TREE.items():
        (tmp_path / "tree" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "tree" / name).write_text(text)
    (tmp_path / "tree/pkg/b.sh").chmod(0o755)
    return str(tmp_path / "tree")


def as_tar(tmp_path: Path) -> str:
    with tarfile.open(tmp_path / "tree.tar.gz", "w:gz") as archive:
        archive.add(as_folder(tmp_path), ".")
    return str(tmp_path / "tree.tar.gz")


def as_zip(tmp_path: Path) -> str:
    with zipfile.ZipFile(tmp_path / "tree.zip", "w") as archive:
        for name in TREE:
            archive.write(Path(as_folder(tmp_path), name), name)
    return str(tmp_path / "tree.zip")


def as_object(tmp_path: Path) -> dict[str, str | None]:
    return {**TREE, "of_another_row": None}


def as_text(tmp_path: Path) -> str:
    return json.dumps(TREE)


@pytest.mark.parametrize("made", [as_folder, as_tar, as_zip, as_object, as_text])
def test_a_folder_an_archive_and_an_object_are_put_there(tmp_path: Path, made: Callable[[Path], object]) -> None:
    files, work = made(tmp_path), tmp_path / "work"
    work.mkdir()
    assert files_problem(files) is None
    put(files, work)  # type: ignore[arg-type]
    put({"a.py": "A = 2\n"}, work)
    assert (work / "a.py").read_text() == "A = 2\n" and (work / "pkg/b.sh").read_text() == "#!/bin/sh\n"
    assert (work / "pkg/b.sh").stat().st_mode & 0o777 == 0o755 and (work / "a.py").stat().st_mode & 0o777 == 0o644


def archive_with(path: Path, name: str, kind: bytes = tarfile.REGTYPE, target: str = "") -> str:
    with tarfile.open(path, "w") as archive:
        member = tarfile.TarInfo(name)
        member.type, member.linkname = kind, target
        archive.addfile(member, BytesIO())
    return str(path)


def test_names_that_lead_elsewhere_and_links_are_refused(tmp_path: Path) -> None:
    for bad in ("../x", "/etc/x", "a/../../x", "", "."):
        assert "leads out of the folder" in str(files_problem({bad: "text"}))
    assert "leads out" in str(files_problem(archive_with(tmp_path / "1.tar", "../x")))
    assert "is a link" in str(files_problem(archive_with(tmp_path / "2.tar", "x", tarfile.SYMTYPE, "/etc/passwd")))
    assert "not a regular file" in str(files_problem(archive_with(tmp_path / "3.tar", "x", tarfile.FIFOTYPE)))
    (tmp_path / "tree").mkdir()
    (tmp_path / "tree/link").symlink_to("/etc/passwd")
    assert "is a link" in str(files_problem(str(tmp_path / "tree")))


def test_what_is_no_archive_and_what_is_not_there_is_said(tmp_path: Path) -> None:
    (tmp_path / "x.tar").write_text("no archive")
    assert "x.tar" in str(files_problem(str(tmp_path / "x.tar")))
    assert files_problem(str(tmp_path / "none")) == f"there is no {tmp_path}/none"
    assert "no text" in str(files_problem({"a": 3}))
    assert "nor an object" in str(files_problem(3))
    assert "Expecting" in str(files_problem('{"a": '))


def test_an_archive_that_is_larger_than_it_looks_is_cut(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with zipfile.ZipFile(tmp_path / "b.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("zeros", b"\0" * 5_000_000)
    monkeypatch.setattr(module, "MAX_BYTES", 1_000_000)
    with pytest.raises(ValueError, match="more than"):
        put(str(tmp_path / "b.zip"), tmp_path)
    monkeypatch.setattr(module, "MAX_FILES", 1)
    with pytest.raises(ValueError, match="more than 1"):
        put(TREE, tmp_path)


def test_no_link_that_an_agent_left_is_followed(tmp_path: Path) -> None:
    work, outside = tmp_path / "work", tmp_path / "outside"
    work.mkdir()
    outside.mkdir()
    (outside / "kept").write_text("kept")
    (work / "tests").symlink_to(outside)
    (work / "kept").symlink_to(outside / "kept")
    (work / "file").mkdir()
    (work / "file/below").touch()
    put({"tests/kept": "x", "kept": "x", "file": "x"}, work)
    write_file(work / "kept", b"y")
    assert [path.read_text() for path in outside.iterdir()] == ["kept"]
    assert not (work / "tests").is_symlink() and (work / "tests/kept").read_text() == "x"
    assert (work / "kept").read_text() == "y" and (work / "file").read_text() == "x"


def test_the_home_and_the_temporary_files_of_an_agent_are_not_its_judges(tmp_path: Path) -> None:
    folder = new_folder()
    (folder / "home").rmdir()
    (folder / "home").symlink_to(tmp_path)
    for place in (tmp_path, folder / "tmp", folder / "work"):
        (place / "x").touch()
    renew(folder)
    assert [path.name for path in folder.rglob("x")] == ["x"] and (folder / "work/x").exists()
    assert not (folder / "home").is_symlink() and (tmp_path / "x").exists()
    remove_folder(folder)


def test_nothing_of_a_folder_is_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    folder = new_folder()
    (folder / "work/closed").mkdir()
    (folder / "work/closed/x").touch()
    (folder / "work/closed").chmod(0)
    remove_folder(folder)
    assert list(tmp_path.iterdir()) == []
