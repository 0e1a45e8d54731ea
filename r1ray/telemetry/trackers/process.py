"""The process that feeds one tracker, as the driver sees it: started, started again, and ended within a bound."""

from __future__ import annotations

import json
import logging
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path

from r1ray.config import TrackingConfig
from r1ray.runtime import events
from r1ray.runtime.causes import cause_in
from r1ray.runtime.own_process import Name, environment
from r1ray.runtime.run_files import LOGS
from r1ray.telemetry.trackers.follower import METRICS, key_of
from r1ray.telemetry.trackers.lines import count_on
from r1ray.telemetry.trackers.sent import Sent

logger = logging.getLogger(__name__)
FIRST_PAUSE_S, LONGEST_PAUSE_S = 2.0, 300.0
"""Between the end of a helper and the start of the next: twice as long each time, until one lives for so long."""
HANGS_S = 900.0
"""A helper that has sent nothing for so long, while there is something to send, is killed."""
ROLE = "tracker"


class Helper:
    """The process of one tracker."""

    def __init__(self, name: str, index: int, run_dir: Path, settings: TrackingConfig) -> None:
        self.name, self._run_dir = name, run_dir
        self.num_lost, self.num_unsent = 0, 0
        self._own_name = Name(ROLE, index)
        words = ("-m", "r1ray.telemetry.trackers.helper", str(run_dir), name, json.dumps(asdict(settings)))
        self._command = (sys.executable, *words)
        self._process: subprocess.Popen[bytes] | None = None
        self._started = self._progress = self._next = 0.0
        self._pause = FIRST_PAUSE_S

    def look(self, now: float) -> None:
        """Start a process where there is none, after a pause if one has ended."""
        if self._process is not None and (code := self._process.poll()) is not None:
            self._lose(f"code {code}", now)
        if self._process is not None and self.num_unsent and now - self._progress > HANGS_S:
            self._kill(self._process)
            self._lose(f"nothing was sent for {HANGS_S:.0f} s", now)
        if self._process is None and now >= self._next:
            self._start(now)

    def count(self, folders: Sequence[Path], now: float) -> None:
        """Count what the tracker has not got yet."""
        sent = Sent(self._run_dir, self.name)
        marks = [sent.of(key_of(folder, self._run_dir)).mark.end for folder in folders]
        unsent = sum(count_on(folder / METRICS, end) for folder, end in zip(folders, marks, strict=True))
        if unsent < self.num_unsent or not self.num_unsent:
            self._progress = now
        self.num_unsent = unsent

    def ask_to_end(self) -> None:
        """Have the process send what there is, and end."""
        if self._process is not None:
            self._close(self._process, with_word=b"\n")

    def end(self, within_s: float) -> bool:
        """Wait until the process has ended, and kill it where it has not by then. Returns whether it has sent all that
        it took."""
        if self._process is None:
            return True
        try:
            return self._process.wait(max(within_s, 0.0)) == 0
        except subprocess.TimeoutExpired:
            self._kill(self._process)
            return False

    def _start(self, now: float) -> None:
        # In a session of its own: Ctrl-C is for the driver, which then has it send what there is.
        self._process = subprocess.Popen(
            self._command,
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env=os.environ | environment(self._own_name),
            bufsize=0,
            start_new_session=True,
        )
        self._started = self._progress = now

    def _lose(self, why: str, now: float) -> None:
        if self._process is not None:
            self._close(self._process)
            self._process = None
        self.num_lost += 1
        events.note("fault", detail=ROLE)
        if now - self._started > LONGEST_PAUSE_S:
            self._pause = FIRST_PAUSE_S
        self._next = now + self._pause
        cause = cause_in(self._run_dir / LOGS / f"{self._own_name}.log")
        logger.warning(
            f"tracker {self.name}: its process has ended ({why}){f': {cause}' if cause else ''}. The run goes on; "
            f"another process is started in {self._pause:.0f} s, and nothing is lost"
        )
        self._pause = min(2 * self._pause, LONGEST_PAUSE_S)

    def _kill(self, process: subprocess.Popen[bytes]) -> None:
        """Kill a process with all that it has started."""
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()

    def _close(self, process: subprocess.Popen[bytes], with_word: bytes = b"") -> None:
        """Close the standard input of a process. Another process that was forked from this one may hold it open: a word
        in it says the same."""
        assert process.stdin is not None
        with suppress(OSError):
            process.stdin.write(with_word)
        process.stdin.close()
