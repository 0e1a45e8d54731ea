"""What is left of a run when it has ended, however it did: no process, nothing in TMPDIR, nothing in /dev/shm."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.real.running import SMALL, end, engines, environment, metrics, only_run, own, start, wait_until

pytestmark = [pytest.mark.real, pytest.mark.faults, pytest.mark.long]
KEPT = "torchinductor_"
"""A cache: the next run needs it too."""


@dataclass(frozen=True)
class Place:
    """A TMPDIR and a /dev/shm that no other process uses."""

    tmp: Path
    holder: int

    @property
    def left(self) -> list[str]:
        """Return what is in both, and which processes use the first."""
        shared = Path(f"/proc/{self.holder}/root/dev/shm")
        files = [str(path) for folder in (self.tmp, shared) for path in folder.iterdir()]
        return [each for each in files if KEPT not in each] + self.processes

    @property
    def processes(self) -> list[str]:
        found, wanted = [], str(self.tmp).encode()
        for folder in Path("/proc").glob("[0-9]*"):
            try:
                if int(folder.name) != self.holder and wanted in (folder / "environ").read_bytes():
                    found.append((folder / "cmdline").read_text().replace("\0", " "))
            except OSError:
                continue
        return found


@pytest.fixture
def place() -> Iterator[Place]:
    """Needs the right to mount."""
    tmp = Path(tempfile.mkdtemp(prefix="left", dir="/tmp"))
    mount = "mount -t tmpfs tmpfs /dev/shm && echo mounted && exec sleep 900"
    holder = subprocess.Popen(["unshare", "--mount", "sh", "-c", mount], stdout=subprocess.PIPE, text=True)
    try:
        assert holder.stdout is not None
        if holder.stdout.readline() != "mounted\n":
            pytest.skip("needs the right to mount")
        yield Place(tmp, holder.pid)
    finally:
        holder.kill()
        holder.wait()
        if holder.stdout is not None:
            holder.stdout.close()
        shutil.rmtree(tmp)


def interrupt(driver: int) -> None:
    os.kill(driver, signal.SIGINT)


def terminate(driver: int) -> None:
    os.kill(driver, signal.SIGTERM)


def hang_up(driver: int) -> None:
    """The signal goes to every process of the terminal, Ray's and vLLM's among them."""
    os.killpg(driver, signal.SIGHUP)


def kill(driver: int) -> None:
    """An engine core is stopped, and does not notice."""
    for _, core in engines(driver):
        core.suspend()
    os.kill(driver, signal.SIGKILL)


def fail(driver: int) -> None:
    """The reward function does by itself."""


ENDS: dict[Callable[[int], None], int] = {interrupt: 130, terminate: 143, hang_up: 143, kill: -9, fail: 2}


@pytest.mark.parametrize("how", ENDS, ids=lambda how: how.__name__)
def test_nothing_is_left_of_a_run(
    tmp_path: Path, place: Place, llama_folder: Path, arithmetic_jsonl: Path, how: Callable[[int], None]
) -> None:
    command = [
        *("run", *own(llama_folder, arithmetic_jsonl, arithmetic_jsonl, tmp_path / "runs"), *SMALL),
        *("steps=500", "eval.every=0", "rollout.num_actors=2", "rollout.cpus_per_actor=0.5"),
        *("data.max_prompt_tokens=400", "learner.max_tokens_per_microbatch=512"),
    ]
    if how is fail:
        command += ['+reward.parts.broken={weight: 1.0, function: "tests.real.rewards:broken"}']
    inside = ["nsenter", f"--target={place.holder}", "--mount"]
    process = start(*command, cwd=tmp_path, env=environment(TMPDIR=str(place.tmp)), under=inside)
    try:
        wait_until(lambda: process.poll() is not None or (tmp_path / "runs").is_dir(), timeout_s=120, what="a folder")
        assert how is fail or process.poll() is None, process.communicate()[0][-4000:]
        run_dir = only_run(tmp_path / "runs", "r1_zero-seed0-")
        if how is not fail:
            wait_until(lambda: process.poll() is not None or len(metrics(run_dir)) > 2, timeout_s=300, what="a step")
            assert process.poll() is None, process.communicate()[0][-4000:]
            assert any("r1run-" in each for each in place.left), "the run has its files there"
        how(process.pid)
        printed, _ = process.communicate(timeout=300)
        assert process.returncode == ENDS[how], printed[-4000:]
        wait_until(lambda: not place.left, timeout_s=30, what=f"the end of {place.left}")
    finally:
        end(process)
