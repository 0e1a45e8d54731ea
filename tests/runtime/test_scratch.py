"""A command's scratch folder, and what clears it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from r1ray.runtime.leftovers import SHARED_MEMORY, VARIABLE, clear
from r1ray.runtime.scratch import PREFIX, Scratch, sweep

DRIVER = """
import subprocess, sys, time
from r1ray.runtime.scratch import Scratch
scratch = Scratch(has_own_cluster=False)
with scratch.inherited():
    child = subprocess.Popen([sys.executable, "-c", CHILD], stdout=subprocess.PIPE)
child.stdout.readline()
print(scratch.folder, child.pid, scratch._watch.pid, flush=True)
sys.stdin.readline()
child.kill()
scratch.end()
"""
CHILD = """
import multiprocessing, tempfile, time
from multiprocessing.shared_memory import SharedMemory
from r1ray.runtime.scratch import enter
enter()
memory = SharedMemory(create=True, size=8)
lock = multiprocessing.get_context("spawn").Lock()
open(tempfile.mktemp(), "w").close()
print("ready", flush=True)
time.sleep(600)
"""


@pytest.fixture
def tmp(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A TMPDIR with a short name."""
    with tempfile.TemporaryDirectory(prefix="scr", dir="/tmp") as name:
        monkeypatch.setenv("TMPDIR", name)
        monkeypatch.setattr(tempfile, "tempdir", None)
        yield Path(name)
    tempfile.tempdir = None


class Driver:
    """A command with a child that has a file, shared memory and a semaphore."""

    def __init__(self) -> None:
        program = f"CHILD = {CHILD!r}\n{DRIVER}"
        self.process = subprocess.Popen(
            [sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        assert self.process.stdout is not None
        folder, child, watch = self.process.stdout.readline().split()
        self.folder, self.child, self.watch = Path(folder), int(child), int(watch)

    @property
    def left(self) -> list[str]:
        files = [*SHARED_MEMORY.glob(f"*{self.folder.name}-*"), *self.folder.parent.glob(f"{self.folder.name}/*")]
        return sorted(str(each) for each in files)

    def end(self) -> None:
        self.process.kill()
        for stream in (self.process.stdin, self.process.stdout):
            if stream is not None:
                stream.close()
        self.process.wait()


@pytest.fixture
def driver(tmp: Path) -> Iterator[Driver]:
    made = Driver()
    assert len(made.left) == 4, "its lock, the file, the memory, the semaphore"
    yield made
    made.end()
    clear(made.folder)


def is_running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


def is_gone(driver: Driver) -> bool:
    deadline = time.monotonic() + 20
    while (driver.left or driver.folder.exists() or is_running(driver.child)) and time.monotonic() < deadline:
        time.sleep(0.02)
    return not driver.left and not driver.folder.exists() and not is_running(driver.child)


def test_a_command_that_ends_by_itself_removes_everything(driver: Driver) -> None:
    driver.process.communicate("end\n", timeout=60)
    assert driver.process.returncode == 0
    assert not driver.left and not driver.folder.exists() and not is_running(driver.watch)


@pytest.mark.faults
def test_the_watch_clears_what_a_killed_command_leaves_a_stopped_process_too(driver: Driver) -> None:
    os.kill(driver.child, signal.SIGSTOP)
    driver.process.kill()
    assert is_gone(driver)


@pytest.mark.faults
def test_the_next_command_clears_what_is_left_where_the_watch_was_killed_too(driver: Driver) -> None:
    os.kill(driver.watch, signal.SIGKILL)
    sweep()
    assert driver.left and is_running(driver.child), "the command lives"
    driver.process.kill()
    driver.process.wait()
    sweep()
    assert is_gone(driver)


@pytest.mark.faults
def test_on_a_node_without_the_driver_the_folder_lives_as_long_as_an_actor(tmp: Path) -> None:
    folder = tmp / f"{PREFIX}elsewhere"
    actor = subprocess.Popen(
        [sys.executable, "-c", CHILD],
        env=os.environ | {VARIABLE: str(folder), "TMPDIR": str(folder)},
        stdout=subprocess.PIPE,
    )
    assert actor.stdout is not None and actor.stdout.readline() == b"ready\n"
    sweep()
    assert len(list(folder.iterdir())) == 2, "its lock, and the file"
    actor.kill()
    actor.wait()
    actor.stdout.close()
    sweep()
    assert not folder.exists() and not list(SHARED_MEMORY.glob(f"*{folder.name}-*"))


def test_a_process_is_found_whose_title_stands_over_its_environment(tmp: Path) -> None:
    """Ray's agents write theirs there; a file below the folder, of its log, says whose it is."""
    folder = Path(tempfile.mkdtemp(prefix=PREFIX, dir=tmp))
    renamed = (
        "import ctypes, sys, time; start, end = map(int, open('/proc/self/stat').read().split()[49:51]);"
        "ctypes.memset(start, 0, end - start); log = open(sys.argv[1], 'w'); print('ready', flush=True); time.sleep(60)"
    )
    environment = {VARIABLE: str(folder), "LD_LIBRARY_PATH": os.environ.get("LD_LIBRARY_PATH", "")}
    found, other = (
        subprocess.Popen([sys.executable, "-c", renamed, path], env=environment, stdout=subprocess.PIPE)
        for path in (str(folder / "log"), str(tmp / "log"))
    )
    try:
        for each in (found, other):
            assert each.stdout is not None and each.stdout.readline() == b"ready\n"
        clear(folder)
        assert found.wait(5) == -signal.SIGKILL and other.poll() is None
    finally:
        for each in (found, other):
            each.kill()
            each.communicate()


def test_sockets_have_room_for_their_names(monkeypatch: pytest.MonkeyPatch) -> None:
    with tempfile.TemporaryDirectory(prefix="a-long-name-for-a-folder-of-temporary-files-") as name:
        monkeypatch.setattr(tempfile, "tempdir", name)
        monkeypatch.delenv("TORCHINDUCTOR_CACHE_DIR", raising=False)
        made = Scratch(has_own_cluster=True)
        try:
            assert made.folder.parent == Path("/tmp")
            assert made.environment["TORCHINDUCTOR_CACHE_DIR"].startswith(f"{name}/torchinductor_")
        finally:
            made.end()
        assert not made.folder.exists()


def test_the_environment_is_what_it_was_after_the_block(tmp: Path) -> None:
    before, made = dict(os.environ), Scratch(has_own_cluster=False)
    with made.inherited():
        assert os.environ[VARIABLE] == os.environ["TMPDIR"] == str(made.folder)
    made.end()
    assert dict(os.environ) == before
