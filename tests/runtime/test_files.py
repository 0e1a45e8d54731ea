"""Files and folders written aside: whatever happens to the writer, what is there is whole."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from r1ray.runtime import files
from r1ray.runtime.files import content_digest, digest_of, files_of, put_in_place, write_json, written_aside

KILLED = """
import os, signal, sys
from pathlib import Path
from r1ray.runtime.files import written_aside
with written_aside(Path(sys.argv[1])) as aside:
    if sys.argv[2] == "folder":
        aside.mkdir()
        (aside / "weights").write_text("half")
    else:
        aside.write_text("half")
    os.kill(os.getpid(), signal.SIGKILL)
"""


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def make(path: Path, kind: str, contents: str) -> None:
    with written_aside(path) as aside:
        if kind == "folder":
            (aside / "deep").mkdir(parents=True)
            (aside / "deep" / "weights").write_text(contents)
        else:
            aside.write_text(contents)


def read(path: Path, kind: str) -> str:
    return (path / "deep" / "weights" if kind == "folder" else path).read_text()


@pytest.mark.parametrize("kind", ["file", "folder"])
def test_the_new_takes_the_place_of_the_old_and_nothing_else_is_left(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "made" / "target"
    for contents in ("old", "new"):
        make(path, kind, contents)
        assert read(path, kind) == contents
    assert names(path.parent) == ["target"]


@pytest.mark.parametrize("kind", ["file", "folder"])
@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_a_failure_in_the_middle_leaves_the_old(tmp_path: Path, kind: str, error: type[BaseException]) -> None:
    path = tmp_path / "target"
    make(path, kind, "old")
    with pytest.raises(error), written_aside(path) as aside:
        if kind == "folder":
            aside.mkdir()
        else:
            aside.write_text("half")
        raise error
    assert read(path, kind) == "old" and names(tmp_path) == ["target"]


@pytest.mark.faults
@pytest.mark.parametrize("kind", ["file", "folder"])
def test_a_kill_in_the_middle_leaves_the_old_and_the_next_writer_tidies_up(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "target"
    make(path, kind, "old")
    killed = subprocess.run([sys.executable, "-c", KILLED, str(path), kind], timeout=60)
    assert killed.returncode == -signal.SIGKILL
    assert read(path, kind) == "old"
    assert len(names(tmp_path)) == 2, "the half that was written lies beside it"
    make(path, kind, "new")
    assert read(path, kind) == "new" and names(tmp_path) == ["target"]


def test_what_others_may_still_write_stays(tmp_path: Path) -> None:
    here = socket.gethostname()
    kept = [
        f".writing-target.{os.getppid()}@{here}",  # alive
        ".writing-target.4711@elsewhere",
        f".writing-target.json.4711@{here}",  # of another target
        ".writing-7",
    ]
    for name in kept:
        (tmp_path / name).write_text("")
    make(tmp_path / "target", "file", "new")
    assert names(tmp_path) == sorted([*kept, "target"])


def test_contents_are_on_disk_before_the_rename_and_the_rename_after(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    events: list[str] = []
    sync, rename = os.fsync, Path.rename

    def synced(descriptor: int) -> None:
        events.append(f"sync {Path(os.readlink(f'/proc/self/fd/{descriptor}')).name}")
        sync(descriptor)

    def renamed(path: Path, target: Path) -> Path:
        events.append(f"{path.name} -> {target.name}")
        return rename(path, target)

    make(tmp_path / "target", "folder", "old")
    aside = tmp_path / "aside"
    (aside / "inner").mkdir(parents=True)
    (aside / "inner" / "weights").write_text("new")
    monkeypatch.setattr(files.os, "fsync", synced)
    monkeypatch.setattr(Path, "rename", renamed)
    put_in_place(aside, tmp_path / "target")
    assert events == [
        "sync aside",
        "sync weights",
        "sync inner",
        "target -> .removing-target",
        "aside -> target",
        f"sync {tmp_path.name}",
    ]
    assert names(tmp_path) == ["target"]


def test_readers_beside_a_writer_never_see_a_half(tmp_path: Path) -> None:
    path, seen, done = tmp_path / "value.json", list[str](), threading.Event()
    write_json(path, [0] * 1000)

    def look() -> None:
        while not done.is_set():
            seen.append(path.read_text())

    reader = threading.Thread(target=look)
    reader.start()
    for number in range(1, 100):
        write_json(path, [number] * 1000)
    done.set()
    reader.join()
    assert seen and all(len(set(json.loads(text))) == 1 and len(json.loads(text)) == 1000 for text in set(seen))


def test_json_that_cannot_be_written_leaves_what_was_there(tmp_path: Path) -> None:
    path = tmp_path / "value.json"
    write_json(path, {"path": Path("/a"), "value": 1.5})
    assert json.loads(path.read_text()) == {"path": "/a", "value": 1.5}
    with pytest.raises(TypeError):
        write_json(path, {(1, 2): "no key of JSON"})
    assert json.loads(path.read_text())["value"] == 1.5 and names(tmp_path) == ["value.json"]


def test_the_digest_of_a_value_does_not_depend_on_the_order_of_its_keys() -> None:
    assert digest_of({"a": 1, "b": [2]}) == digest_of({"b": [2], "a": 1}) != digest_of({"a": 1, "b": [3]})


def test_files_of_changes_with_a_file_and_is_empty_for_a_hub_name(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("x")
    before = files_of(str(tmp_path))
    assert list(before) == [str(tmp_path / "a")]
    (tmp_path / "a").write_text("xy")
    assert files_of(str(tmp_path)) != before
    assert files_of("Qwen/Qwen2.5-7B") == {}


def test_a_content_digest_is_of_names_and_contents_and_not_of_the_place(tmp_path: Path) -> None:
    memo = tmp_path / "digests.json"
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "weights").write_text("same")
    (tmp_path / "two" / ".lock").write_text("hidden files are left out")
    one = content_digest(str(tmp_path / "one"), memo)
    assert one == content_digest(str(tmp_path / "two"), memo)
    (tmp_path / "two" / "weights").write_text("other")
    assert one != content_digest(str(tmp_path / "two"), memo)
    memo.write_text('{"cut o')
    assert one == content_digest(str(tmp_path / "one"), memo)
