"""The driver's side of a run folder in an object store: its copying process, started again where it ends.

with mirrored(folder, address) as mirror:     # the newest state is in the folder, and nobody else writes
    ...                                       # changed files go up; mirror.behind_s(): what a lost node would cost
# the last round is made, as long as it gets on
"""

from __future__ import annotations

import json
import logging
import os
import signal
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from r1ray.config.mirror import MirrorConfig
from r1ray.errors import InfrastructureError, UserError
from r1ray.mirror.lease import BEAT_S, LEASE_S
from r1ray.mirror.process import BEHIND, FIRST_S, LOST, Settings
from r1ray.runtime import events
from r1ray.runtime.own_process import LOG, NODE, Name
from r1ray.runtime.processes import own_process_id
from r1ray.runtime.run_files import LOGS

logger = logging.getLogger(__name__)
ROLE = "mirror"
FIRST_PAUSE_S, LONGEST_PAUSE_S = 1.0, 30.0
"""Between the end of a process and the start of the next: below the time in which the lease runs out."""
WARN_S = 300.0
"""Between two warnings of a store that is away."""
MAX_STARTS = 3
"""Processes that may end before the folder is ready."""
KILLED_S = 10.0
"""Longest wait for a process that was killed."""
POLL_S = 0.2
LEASE = (BEAT_S, LEASE_S)


class Mirror:
    """The copying process of a run."""

    def __init__(self, settings: Settings, end_s: float) -> None:
        self._settings, self._end_s = settings, end_s
        self._process: subprocess.Popen[str] | None = None
        self._ready, self._over = threading.Event(), threading.Event()
        self._refused, self._why = "", ""
        self._moved = self._warned = 0.0
        self._copied = time.time()  # the newest state that is in the store is at least so new
        self._is_done = self._is_lost = self._is_given_up = False
        self.num_lost = 0
        self._thread = threading.Thread(target=self._watch, name="mirror", daemon=True)

    def begin(self) -> None:
        """Return when the folder has the newest state. Raises UserError where it cannot be had, or another process
        works there."""
        self._moved = time.monotonic()
        self._thread.start()
        while not self._ready.wait(POLL_S):
            if self._refused:
                raise UserError(self._refused)
            if self.num_lost >= MAX_STARTS or not self._thread.is_alive():
                raise InfrastructureError(
                    f"the process that copies {self._settings.address} ended {self.num_lost} times"
                )

    def counts(self) -> dict[str, float]:
        """Return ``mirror/behind_s``, and ``faults/mirror`` if the process was lost."""
        lost = {f"faults/{ROLE}": float(self.num_lost)} if self.num_lost else {}
        return {"mirror/behind_s": max(0.0, time.time() - self._copied)} | lost

    def end(self) -> str:
        """Have the last state copied, as long as bytes move; return what to say of what is missing, nothing where
        nothing is."""
        longest_s = self._end_s if self._ready.is_set() else KILLED_S
        self._over.set()
        self._moved = time.monotonic()
        told = time.monotonic()
        while self._thread.is_alive() and time.monotonic() - self._moved < longest_s:
            self._thread.join(POLL_S)
            if time.monotonic() - told > WARN_S / 10:
                told = time.monotonic()
                logger.info(f"copying what is left to {self._settings.address}")
        self._is_given_up = True
        process = self._process
        if process is not None and process.poll() is None:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
        self._thread.join(KILLED_S)
        if self._is_done or not self._ready.is_set():
            return ""
        if self._is_lost:
            return f"{self._settings.address} has another writer, and what this run made last is not there"
        when = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(self._copied))
        why = f" ({self._why})" if self._why else ""
        return (
            f"{self._settings.address} has the run as it was at {when}{why}. What came later is in "
            f"{self._settings.folder} on this node alone; the same command here copies it."
        )

    # ------------------------------------------------------------------ its thread

    def _watch(self) -> None:
        pause = FIRST_PAUSE_S
        while True:
            started = time.monotonic()
            code = self._run_once()
            if (
                self._is_done
                or self._is_given_up
                or self._refused
                or self._is_lost
                or code == LOST
                or (code == BEHIND and self._over.is_set())
            ):
                return
            self.num_lost += 1
            if not self._ready.is_set() and self.num_lost >= MAX_STARTS:
                return
            events.note("fault", detail=ROLE)
            pause = FIRST_PAUSE_S if time.monotonic() - started > LONGEST_PAUSE_S else min(2 * pause, LONGEST_PAUSE_S)
            logger.warning(
                f"the process that copies the run folder has ended (code {code}). The run goes on; another is started "
                f"in {pause:.0f} s, and nothing is lost"
            )
            time.sleep(pause)

    def _run_once(self) -> int:
        """Start a process, hear it until it ends, and return its exit code."""
        settings = replace(self._settings, is_again=self._ready.is_set())
        # In a session of its own: Ctrl-C is for the driver, which then has it copy what there is.
        process = self._process = subprocess.Popen(
            [sys.executable, "-m", "r1ray.mirror.process", json.dumps(asdict(settings))],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=os.environ | {LOG: f"{settings.folder}/{LOGS}/{Name(ROLE, 0)}.log", NODE: own_process_id().node},
            text=True,
            start_new_session=True,
        )
        threading.Thread(target=self._end_with, args=(process,), daemon=True).start()
        assert process.stdout is not None
        with process.stdout:
            for line in process.stdout:
                with suppress(ValueError):
                    self._hear(json.loads(line))
        code = process.wait()
        self._close(process)
        return code

    def _end_with(self, process: subprocess.Popen[str]) -> None:
        """Close the standard input of a process when the run is over. Another that was forked from this one may hold it
        open: a word in it says the same."""
        while not self._over.wait(POLL_S):
            if process.poll() is not None:
                return
        self._close(process, with_word="\n")

    def _close(self, process: subprocess.Popen[str], with_word: str = "") -> None:
        assert process.stdin is not None
        with suppress(OSError, ValueError):  # it has ended, or it is closed already
            process.stdin.write(with_word)
            process.stdin.close()

    def _hear(self, told: dict[str, Any]) -> None:
        kind, now = told.get("is"), time.monotonic()
        if kind == "says":
            logger.info(told["text"])
        elif kind == "refused" and not self._ready.is_set():
            self._refused = told["text"]
        elif kind in ("lost", "refused"):  # refused: in the place of a process that had ended somebody else was found
            self._lose(told["text"])
        elif kind == "behind":
            self._why = told["why"]
            if not self._warned or now - self._warned > WARN_S:
                self._warned = now
                logger.warning(
                    f"{self._settings.address} cannot be reached: {self._why}. The run goes on; its files are copied "
                    "when it can be"
                )
        else:
            self._moved = now
        if kind == "ready":
            self._ready.set()
        elif kind == "round":
            self._copied, self._why = told["began"], ""
            if self._warned:
                logger.info(f"{self._settings.address} has all files again")
            self._warned = 0.0
        elif kind == "done":
            self._is_done = True

    def _lose(self, why: str) -> None:
        """End the run as SIGTERM does: another process goes on with it, and what this one makes is of no use."""
        self._is_lost = True
        logger.error(f"{why}. This run ends after its step: what it has made since is in {self._settings.folder} alone")
        if signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL:  # else it would end a program of the user's
            os.kill(os.getpid(), signal.SIGTERM)


_current: Mirror | None = None


def counts() -> dict[str, float]:
    """Return the metrics of the mirror of this process's run; see :meth:`Mirror.counts`."""
    return {} if _current is None else _current.counts()


@contextmanager
def mirrored(folder: Path, address: str, config: MirrorConfig) -> Iterator[None]:
    """Have a folder hold the newest state of a run in an object store, and copy what changes while the block lasts.
    Raises UserError, and InfrastructureError if the block has ended and its last state could not be copied."""
    global _current
    settings = Settings(
        address=address,
        folder=str(folder),
        writer=uuid.uuid4().hex[:12],
        every_s=config.every_s,
        end_s=config.end_s,
        beat_s=LEASE[0],
        lease_s=LEASE[1],
        first_s=FIRST_S,
    )
    mirror = Mirror(settings, config.end_s)
    try:
        mirror.begin()
        _current = mirror
        yield
    except BaseException:
        _current = None
        if missing := mirror.end():
            logger.warning(missing)
        raise
    _current = None
    if missing := mirror.end():
        raise InfrastructureError(missing)
