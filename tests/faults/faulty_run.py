"""A run of the real command line on the real parts, and the faults that it is made to meet, one after the other."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil

from r1ray.runtime.actor_status import read_actors, status_of
from r1ray.runtime.own_process import Told
from r1ray.runtime.scratch import PREFIX
from tests.faults.cells import PROCESSES, SERVED_BY, UPHOLDING, Cell
from tests.faults.gate import FOLDER, SLOW_S, USUAL_S, Gates
from tests.faults.results import record
from tests.faults.settings import SETTINGS, own_files
from tests.real.machines import Machine
from tests.real.running import environment, metrics

REACH_S, WHOLE_S, END_S = 300.0, 400.0, 600.0
"""At most until a phase is reached, a role is there again, and the run ends once nothing is in its way."""
SIGNALS = {"SIGKILL": signal.SIGKILL, "SIGSTOP": signal.SIGSTOP}
ENGINE = ("rollout worker", "engine core")
OF_RAY = {"raylet": "raylet", "GCS": "gcs_server"}


class FaultyRun:
    """One run, in a folder of its own. Ends with the block."""

    def __init__(self, work: Path, model: Path, task: Path, *more: str) -> None:
        self.work, self.folder = work, work / "runs" / "faults"
        self.gates, self._random = Gates(work / "gates"), random.Random(0)
        # Short: the path of a Unix socket has at most 107 bytes.
        self.temporary = Path(tempfile.mkdtemp(prefix="r1f-", dir="/tmp"))
        own = {FOLDER: str(self.gates.folder), "TMPDIR": str(self.temporary)}
        self.env = environment(**own)
        files = [f"model={model}", f"output_dir={work / 'runs'}", *own_files(work, task)]
        self.command = ["run", *files, *SETTINGS, *more]
        self.process: subprocess.Popen[Any] | None = None
        self._lost: dict[str, float] = {}  # roles, and when
        self._met: list[Cell] = []
        self.names: set[str] = set()
        """Of its scratch folders, and of files after which shared memory is called."""

    def __enter__(self) -> FaultyRun:
        return self

    def __exit__(self, kind: type[BaseException] | None, *error: object) -> None:
        record(self._met, has_passed=kind is None)
        while found := self.processes():
            for each in found:
                with suppress(psutil.NoSuchProcess):
                    each.kill()
            time.sleep(0.1)
        if self.process is not None:
            self.process.wait(timeout=30)
        shutil.rmtree(self.temporary, ignore_errors=True)

    # ------------------------------------------------------------------ what the run says

    def start(self, *more: str, on: Machine | None = None) -> None:
        """Begin it, or go on."""
        command = [sys.executable, "-m", "r1ray", *self.command, *more]
        with (self.work / "printed.txt").open("ab") as log:
            pipes: dict[str, Any] = {"stdout": log, "stderr": subprocess.STDOUT}
            if on is None:
                self.process = subprocess.Popen(command, cwd=self.work, env=self.env, start_new_session=True, **pipes)
            else:
                self.process = on.start(*command, cwd=self.work, env=self.env, **pipes)

    @property
    def printed(self) -> str:
        """All that it printed."""
        return (self.work / "printed.txt").read_text()

    @property
    def rows(self) -> list[dict[str, Any]]:
        """The lines of metrics.jsonl."""
        try:
            return metrics(self.folder)
        except json.JSONDecodeError:  # a line is being written
            return self.rows

    @property
    def num_steps(self) -> int:
        """The steps that were made."""
        return int(self.rows[-1]["step"])

    def living(self, role: str) -> list[Told]:
        """The processes of a role that live, as they say themselves."""
        told, served_by = read_actors(self.folder / "logs"), SERVED_BY.get(role, role)
        return [each for each in told if each.role == served_by and status_of(each).state == "running"]

    def processes(self) -> list[psutil.Process]:
        """All processes that live and belong to the run: they have its folder in their environment."""
        mark, found = f"{FOLDER}={self.gates.folder}".encode(), []
        for each in psutil.process_iter(["name", "cmdline", "status"]):
            with suppress(OSError):  # it ended, or is somebody else's
                if mark in Path(f"/proc/{each.pid}/environ").read_bytes().split(b"\0"):
                    found.append(each)
        return [each for each in found if each.info["status"] != psutil.STATUS_ZOMBIE]

    def wait(self, condition: Callable[[], bool], *, within_s: float, what: str) -> None:
        """Wait for something that happens before the run ends."""
        assert self.process is not None
        until = time.monotonic() + within_s
        while not condition():
            assert self.process.poll() is None, f"the run ended before {what}: {self.printed[-4000:]}"
            assert time.monotonic() < until, f"{what}: not within {within_s:g} s. {self.printed[-4000:]}"
            time.sleep(0.05)

    def wait_until_begun(self) -> None:
        """Wait for the first line of metrics."""
        self.wait(lambda: bool(self.rows), within_s=REACH_S + WHOLE_S, what="the first line")

    def wait_until_whole(self, role: str) -> None:
        """Wait until a role that was lost is there again, and steps were made since then; with an engine's core its
        front end."""
        for each in ENGINE if role in ENGINE else (role,):
            if (when := self._lost.pop(each, None)) is not None:
                self._wait_for_return(each, when)

    def _wait_for_return(self, role: str, when: float) -> None:
        count = 1 if role in ("snapshot", "rollout log") else 2

        def is_back() -> bool:
            living = self.living(role)
            return len(living) >= count and all("its start" not in each.waits_for for each in living)

        self.wait(lambda: len(self.rows_since(when)) >= 2, within_s=WHOLE_S, what=f"steps without {role}")
        self.wait_slowly(is_back, what=f"{role} is back")

    def wait_slowly(self, condition: Callable[[], bool], *, what: str) -> None:
        """Wait for what takes long; few steps are made meanwhile."""
        self.gates.pace(SLOW_S)
        self.wait(condition, within_s=WHOLE_S, what=what)
        self.gates.pace(USUAL_S)

    def rows_since(self, when: float) -> list[dict[str, Any]]:
        """The lines that were logged after a moment, Unix seconds."""
        return [row for row in self.rows if row["wall_time"] > when]

    # ------------------------------------------------------------------ faults

    def meet(self, cell: Cell, *, go_on_after_s: float | None = None) -> None:
        """Cause a fault in its phase. What is stopped goes on after a while, or never."""
        self.wait_until_whole(cell.role)
        began = time.monotonic()
        if cell.phase == "starting":
            self.note(cell)
            victims = self._starting(cell.role)
        else:
            self.reach(cell)
            victims = self._random.sample(self.victims(cell.role), cell.count)
        for pid in victims:
            os.kill(pid, SIGNALS[cell.fault])
        self.gates.open(cell.phase)
        if go_on_after_s is not None:
            time.sleep(go_on_after_s)
            for pid in victims:
                os.kill(pid, signal.SIGCONT)
        elif cell.role in PROCESSES:
            self._lost[cell.role] = time.time()
        step = self.rows[-1]["step"] if self.rows else "none"
        print(f"{cell}: after {time.monotonic() - began:.1f} s, processes {victims}, last step {step}", flush=True)

    def note(self, cell: Cell) -> None:
        """Note that a fault is met: the end of the run says how."""
        self._met.append(cell)
        for pattern in (f"{PREFIX}*", f"{PREFIX}*/vllm_dist_*"):
            self.names |= {path.name for path in self.temporary.glob(pattern)}

    def reach(self, cell: Cell) -> None:
        """Have the run wait in the phase of a cell, until its gate is opened."""
        self.note(cell)
        self.gates.want(cell.phase)
        self.wait(lambda: self.gates.is_reached(cell.phase), within_s=REACH_S, what=f"{cell.phase} is reached")

    def victims(self, role: str) -> list[int]:
        """The processes that a role has now."""
        assert self.process is not None
        if role == "driver":
            return [self.process.pid]
        if role in OF_RAY:
            return [each.pid for each in self.processes() if each.info["name"] == OF_RAY[role]]
        return [each.process.pid for each in self.living(role)]

    def _starting(self, role: str) -> list[int]:
        """Have one of a role start in the place of a lost one; return its process. What all others need meets its fault
        when they start."""
        if role in UPHOLDING:
            self.wait(self._is_starting, within_s=REACH_S, what="actors start")
            return self.victims(role)
        before = {each.process.pid for each in self.living(role)}
        lost = self._random.choice(sorted(before))
        os.kill(lost, signal.SIGKILL)
        fresh: list[int] = []

        def has_begun() -> bool:
            fresh[:] = [each.process.pid for each in self.living(role) if each.process.pid not in before]
            return bool(fresh)

        self.wait_slowly(has_begun, what=f"another {role} starts")
        return fresh[:1]

    def _is_starting(self) -> bool:
        told = [each for role in PROCESSES for each in self.living(role)]
        return any("its start" in each.waits_for for each in told)

    # ------------------------------------------------------------------ the end

    def finish(self) -> int:
        """Let it go on to its end. Returns the exit code."""
        for role in PROCESSES:
            self.wait_until_whole(role)
        self.gates.pace(0)
        self.gates.end()
        return self.ended()

    def ended(self, within_s: float = END_S) -> int:
        """Return the exit code; it has to end soon."""
        assert self.process is not None
        return self.process.wait(timeout=within_s)
