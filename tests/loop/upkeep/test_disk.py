"""A disk that is full in the middle of a run."""

from __future__ import annotations

import asyncio
import logging
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from r1ray.config import CheckpointConfig
from r1ray.errors import LearnerLost, R1RayError
from r1ray.loop.checkpoint import Checkpoints
from r1ray.loop.upkeep import disk as module
from r1ray.loop.upkeep.disk import Disk
from r1ray.runtime.disk import why_not
from tests.small_disk import fill, small_disk

MIB = 1 << 20


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Path]:
    """A folder that holds 4 MiB."""
    with small_disk(tmp_path) as folder:
        yield folder


def disk(folder: Path, *, on_full: str = "wait", wait_s: float = 30.0) -> Disk:
    config = CheckpointConfig(on_full_disk=on_full)
    return Disk(config, Checkpoints(folder / "checkpoints", keep=1), wait_s=wait_s)


def test_a_folder_with_room_is_written_at_once_and_nothing_stays_there(tmp_path: Path) -> None:
    asyncio.run(disk(tmp_path).room("the next step"))
    assert [*tmp_path.iterdir()] == []


def test_what_is_missing_is_said(small: Path) -> None:
    fault = why_not(small, needs=100 * MIB)
    assert fault is not None and fault.strerror is not None
    assert "bytes are free, needs 104857600" in fault.strerror
    fill(small)
    with pytest.raises(R1RayError, match=r"for checkpoint 7: No space left.*on_full_disk=stop.*is no checkpoint"):
        asyncio.run(disk(small, on_full="stop").room("checkpoint 7"))


def test_nobody_waits_for_a_disk_that_is_slow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    answers = threading.Event()

    def slow(folder: Path, *, needs: int) -> None:
        assert answers.wait(timeout=30)

    monkeypatch.setattr(module, "why_not", slow)

    async def work() -> None:
        waiting = asyncio.create_task(disk(tmp_path).room("the next step"))
        await asyncio.sleep(0.01)  # comes to its end while the disk is asked
        assert not waiting.done()
        answers.set()
        await waiting

    asyncio.run(work())


def test_a_full_disk_is_waited_for(small: Path, caplog: pytest.LogCaptureFixture) -> None:
    small_disk = disk(small)
    assert asyncio.run(small_disk.fault()) is None
    filler = fill(small)

    async def work() -> None:
        waiting = asyncio.create_task(small_disk.room("checkpoint 7"))
        await asyncio.sleep(0.05)
        assert not waiting.done()
        filler.unlink()
        await waiting

    with caplog.at_level(logging.WARNING):
        asyncio.run(work())
    (line,) = caplog.messages
    assert f"{small}: no room for checkpoint 7: No space left on device. Waiting for it, 30 s more" in line


def test_a_wait_has_an_end(small: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "POLL_S", 0.01)
    small_disk = disk(small, wait_s=0.05)
    assert asyncio.run(small_disk.fault()) is None
    fill(small)
    with pytest.raises(R1RayError, match=r"No space left .*Waited 0 s for it \(deadlines.checkpoint_s\)"):
        asyncio.run(small_disk.room("checkpoint 7"))


def test_a_folder_that_may_not_be_written_is_not_waited_for(small: Path) -> None:
    small_disk = disk(small)
    assert asyncio.run(small_disk.fault()) is None
    subprocess.run(["mount", "-o", "remount,ro", str(small)], check=True)
    with pytest.raises(R1RayError, match="Read-only file system"):
        asyncio.run(small_disk.room("checkpoint 7"))


def test_what_failed_for_want_of_room_is_tried_again_and_what_failed_otherwise_is_not(small: Path) -> None:
    small_disk, tries = disk(small), []

    async def attempt() -> str:
        tries.append(1)
        if len(tries) == 1:
            filler = fill(small)
            asyncio.get_running_loop().call_later(0.05, filler.unlink)
            raise RuntimeError("PytorchStreamWriter failed writing file")
        return "written"

    async def broken() -> None:
        raise RuntimeError("another reason")

    async def lost() -> None:
        fill(small)
        raise LearnerLost("rank 0")

    assert asyncio.run(small_disk.written(attempt, "checkpoint 7")) == "written"
    assert len(tries) == 2
    with pytest.raises(RuntimeError, match="another reason"):
        asyncio.run(small_disk.written(broken, "checkpoint 7"))
    with pytest.raises(LearnerLost):
        asyncio.run(small_disk.written(lost, "checkpoint 7"))
