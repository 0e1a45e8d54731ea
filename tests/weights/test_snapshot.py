"""Snapshots: written beside a publish, read by others, and never taken for what they are not."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from r1ray.errors import WeightSyncError
from r1ray.weights import snapshot_file
from r1ray.weights.buckets import TensorMeta
from r1ray.weights.keeper import SnapshotKeeper
from r1ray.weights.snapshot import SnapshotPlace, read_header
from r1ray.weights.snapshot_file import SnapshotWriter, check, kept, load
from r1ray.weights.stream import VerifyingLoader, metadata_with_fingerprints, with_fingerprints

pytestmark = pytest.mark.faults


def weights(value: float = 1.0) -> dict[str, torch.Tensor]:
    return {
        "a": torch.full((3, 5), value),
        "b": torch.full((7,), value).bfloat16(),
        "c": torch.arange(100_000, dtype=torch.float32) * value,
    }


def metas() -> list[TensorMeta]:
    found = [TensorMeta(n, str(t.dtype).removeprefix("torch."), tuple(t.shape)) for n, t in weights().items()]
    return metadata_with_fingerprints(found)


def writing(writer: SnapshotWriter, place: SnapshotPlace, value: float = 1.0) -> Iterator[tuple[str, torch.Tensor]]:
    return writer.keep(with_fingerprints(weights(value).items()), metas(), place)


def write(writer: SnapshotWriter, place: SnapshotPlace, value: float = 1.0) -> None:
    for _ in writing(writer, place, value):
        pass


def loaded(place: SnapshotPlace) -> dict[str, torch.Tensor]:
    found: dict[str, torch.Tensor] = {}
    check(place)
    load(place, VerifyingLoader(lambda pairs: found.update({name: each.clone() for name, each in pairs})))
    return found


@pytest.fixture
def place(tmp_path: Path) -> SnapshotPlace:
    path = tmp_path / "snapshot"
    path.touch()
    return SnapshotPlace(str(path), 3)


def test_what_was_written_is_loaded_to_the_last_bit(place: SnapshotPlace) -> None:
    write(SnapshotWriter(), place)
    found = loaded(place)
    assert all(torch.equal(each, found[name]) for name, each in weights().items())


def test_the_header_is_readable_without_torch(place: SnapshotPlace) -> None:
    write(SnapshotWriter(), place)
    program = (
        "import sys; from r1ray.weights.snapshot import read_header; header = read_header(sys.argv[1]); "
        "print(header.version, header.num_bytes, len(header.digest), 'torch' in sys.modules)"
    )
    command = [sys.executable, "-c", program, place.path]
    printed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert printed.split() == ["3", str(15 * 4 + 7 * 2 + 400_000 + 3 * 8), "32", "False"]


def test_a_version_is_written_over_another_in_place(place: SnapshotPlace) -> None:
    writer = SnapshotWriter()
    write(writer, place)
    before, inode = read_header(place.path), os.stat(place.path).st_ino
    write(writer, SnapshotPlace(place.path, 5), 2.0)
    after = read_header(place.path)
    assert (after.version, os.stat(place.path).st_ino) == (5, inode)
    assert after.digest != before.digest
    with pytest.raises(WeightSyncError, match="holds version 5, and not 3"):
        loaded(place)


def test_the_same_weights_have_the_same_digest(place: SnapshotPlace, tmp_path: Path) -> None:
    other = SnapshotPlace(str(tmp_path / "other"), 9)
    Path(other.path).touch()
    write(SnapshotWriter(), place)
    write(SnapshotWriter(), other)
    assert read_header(place.path).digest == read_header(other.path).digest


def test_a_snapshot_that_is_being_written_or_was_never_finished_is_none(place: SnapshotPlace) -> None:
    writer = SnapshotWriter()
    write(writer, place)
    half = writing(writer, SnapshotPlace(place.path, 5), 2.0)
    next(half)
    with pytest.raises(WeightSyncError, match="no whole snapshot"):
        loaded(place)


def test_a_snapshot_that_is_written_over_while_it_is_loaded_is_refused(place: SnapshotPlace) -> None:
    writer, found = SnapshotWriter(), dict[str, torch.Tensor]()
    write(writer, place)

    def note(name: str, tensor: torch.Tensor) -> None:
        if name == "c":
            write(writer, SnapshotPlace(place.path, 5))

    with pytest.raises(WeightSyncError, match="was written over"):
        load(place, VerifyingLoader(lambda pairs: found.update(pairs), note))


def test_a_changed_byte_is_found(place: SnapshotPlace) -> None:
    write(SnapshotWriter(), place)
    (_, start) = read_header(place.path).tensors[2]
    with open(place.path, "r+b") as file:
        file.seek(start + 17)
        file.write(b"\xff")
    with pytest.raises(WeightSyncError, match="1 tensors arrived damaged, the first is c"):
        loaded(place)


@pytest.mark.parametrize("content", [b"", b"x" * 64, b"r1raysn1" + b"\xff" * 24])
def test_what_is_no_snapshot_is_refused(place: SnapshotPlace, content: bytes) -> None:
    Path(place.path).write_bytes(content)
    with pytest.raises(WeightSyncError):
        read_header(place.path)


def test_a_publish_does_without_where_the_memory_is_short(
    place: SnapshotPlace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(snapshot_file, "free_memory", lambda: 1000.0)
    tensors, problem = kept(SnapshotWriter(), with_fingerprints(weights().items()), metas(), place)
    assert "are free" in problem and len(list(tensors)) == 4
    gone = SnapshotPlace("/proc/1/fd/999999", 0)
    _, problem = kept(SnapshotWriter(), with_fingerprints(weights().items()), metas(), gone)
    assert problem


def test_a_keepers_files_need_no_name_and_end_with_it() -> None:
    keeper = SnapshotKeeper()
    first, second = keeper.paths()
    write(SnapshotWriter(), SnapshotPlace(first, 0))
    write(SnapshotWriter(), SnapshotPlace(second, 1), 2.0)
    assert (read_header(first).version, read_header(second).version) == (0, 1)
    assert loaded(SnapshotPlace(first, 0))["a"][0, 0] == 1.0, "the other file is left alone"
    program = "from r1ray.weights.keeper import SnapshotKeeper; print(*SnapshotKeeper().paths())"
    printed = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout
    assert not any(Path(path).exists() for path in printed.split())
