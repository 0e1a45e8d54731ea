"""The driver's side of a run's status: ``status.json`` and ``logs/driver-0.log``, written from a thread of its own.

The thread also sees a step that takes much longer than those before it, and then shows the status by itself.
"""

from __future__ import annotations

import logging
import os
import threading
import time
import traceback
from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import TextIO

from r1ray.errors import R1RayError, Terminated, UserError
from r1ray.runtime import events
from r1ray.runtime.own_process import Name, OwnProcess, be, first_line, one_line, record_handler, write_whole
from r1ray.runtime.run_files import LOGS
from r1ray.runtime.stacks import answer_in
from r1ray.telemetry.follow import followed
from r1ray.telemetry.live import Live
from r1ray.telemetry.live_view import view_of
from r1ray.telemetry.logs import ROOT, chatter_in
from r1ray.telemetry.run_status import STATUS, DriverTold, last_end, last_stage, read_status

logger = logging.getLogger(__name__)
BEAT_S = 2.0
STEPS, FEWEST, TIMES = 10, 3, 3.0
DONE = "done"
LEAST_S = 10.0
"""A step that takes less is not slow, however short the others were: an evaluation or a checkpoint may be in it."""


class SlowSteps:
    """Finds a step that takes ``TIMES`` times the mean of the last ``STEPS``; each step once."""

    def __init__(self) -> None:
        self._seconds: deque[float] = deque(maxlen=STEPS)
        self._begun: float | None = None
        self._has_told = False

    def ended(self, seconds: float, *, now: float) -> None:
        """Note the end of a step that took so long; the next one begins."""
        self._seconds.append(seconds)
        self._begun, self._has_told = now, False

    def is_slow(self, *, now: float) -> float | None:
        """Return the mean of the last steps if the one that is being made has become slow since the last call."""
        if self._begun is None or self._has_told or len(self._seconds) < FEWEST:
            return None
        mean = sum(self._seconds) / len(self._seconds)
        if now - self._begun < max(LEAST_S, TIMES * mean):
            return None
        self._has_told = True
        return mean


class DriverStatus:
    """Tells of the run for as long as the driver lives."""

    def __init__(self, run_dir: Path, process: OwnProcess) -> None:
        self._run_dir, self._process = run_dir, process
        self._stage, self._folder, self._ended = *last_stage(run_dir), ""
        self._slow = SlowSteps()
        self.live = Live(run_dir)
        self._over = threading.Event()
        self._writing = threading.Lock()

    def begin_stage(self, name: str, folder: Path) -> None:
        """Note the stage that runs now, whose metrics are in ``folder``; its actors are others than those before."""
        self._stage, self._folder, self._slow = name, str(folder), SlowSteps()
        self.live.begin_stage(name)
        self._forget_actors()
        self.write()

    def end_step(self, metrics: Mapping[str, float]) -> None:
        """Note what was logged; only a line that has a step's time is the end of one."""
        self.live.end_step(metrics)
        if (seconds := metrics.get("time/step_s")) is not None:
            self._slow.ended(seconds, now=time.monotonic())

    def end_steps(self) -> None:
        """Note that the stage has made its last step: none can be slow now, and its actors have ended as they ought."""
        self._slow = SlowSteps()
        self._forget_actors()

    def end(self, how: str) -> None:
        """Note how the run ended, and write it."""
        self._over.set()
        self._ended = how
        if not how.startswith("failed"):
            self._forget_actors()
        self.write()
        self._process.write_events(is_last=True)

    def write(self) -> None:
        """Write the file. A file system that is full, or gone, is found elsewhere."""
        with suppress(OSError), self._writing:
            told = DriverTold(self._run_dir.name, self._stage, self._folder, self._process.told(), self._ended)
            write_whole(self._run_dir / STATUS, asdict(told))

    def beat(self) -> None:
        """Write the file again and again until the run ends, and look for a slow step."""
        while not self._over.wait(BEAT_S):
            self.write()
            self._process.write_events()
            if (mean := self._slow.is_slow(now=time.monotonic())) is not None:
                self._show(mean)

    def _show(self, mean: float) -> None:
        with suppress(R1RayError, OSError):
            lines = "\n  ".join(read_status(self._run_dir).lines())
            logger.warning(f"this step takes {TIMES:g} times as long as the last ones ({mean:.1f} s):\n  {lines}")

    def _forget_actors(self) -> None:
        for path in (self._run_dir / LOGS).glob("[!.]*.json"):
            path.unlink(missing_ok=True)


_current: DriverStatus | None = None


def begin_stage(name: str, folder: Path) -> None:
    """Tell that a stage begins; see :meth:`DriverStatus.begin_stage`. Outside of a run nobody asks."""
    if _current is not None:
        _current.begin_stage(name, folder)


def end_step(metrics: Mapping[str, float]) -> None:
    """Tell that a step ended; see :meth:`DriverStatus.end_step`."""
    if _current is not None:
        _current.end_step(metrics)


def end_steps() -> None:
    """Tell that the stage has made its last step, and its actors have ended; see :meth:`DriverStatus.end_steps`."""
    if _current is not None:
        _current.end_steps()


def expect_steps(num_steps: int) -> None:
    """Tell how many steps the stage has."""
    if _current is not None:
        _current.live.expect_steps(num_steps)


def show_sample(text: str) -> None:
    """Tell of an answer of the model."""
    if _current is not None:
        _current.live.sample = text


def end_at_once(why: str) -> None:
    """Tell that the run has failed, in a process that ends without leaving :func:`told`."""
    if _current is not None:
        _current.end(f"failed: {why}")


@contextmanager
def told(run_dir: Path, *, with_chatter: bool = False) -> Iterator[None]:
    """Tell of the run in a folder while the block lasts, and then how it ended. What is printed, and r1ray's records,
    go to ``logs/driver-0.log``. Raises UserError where that cannot be written to.

    Args:
        with_chatter: show on the console what goes to the logs.
    """
    global _current
    process = OwnProcess(Name("driver", 0), run_dir / LOGS / "driver-0.log")
    with _opened(process) as log, _records_in(log, process.name):
        be(process)
        answer_in(os.dup(log.fileno()))  # for as long as this process lives
        if (ended := last_end(run_dir)) not in (None, DONE):
            events.note("resume", detail=f"the command before: {ended}")
        status = _current = DriverStatus(run_dir, process)
        status.write()
        threading.Thread(target=status.beat, name="status", daemon=True).start()
        try:
            with chatter_in(log) as screens, ExitStack() as following:
                for screen in screens:
                    screen.show(partial(view_of, status.live))
                    if with_chatter:
                        following.enter_context(followed(run_dir / LOGS, screen.say))
                yield
            status.end(DONE)
        except BaseException as error:
            if not isinstance(error, KeyboardInterrupt | Terminated | UserError):
                with suppress(OSError):
                    traceback.print_exception(error, file=log)
            status.end(_how(error))
            raise
        finally:
            _current = None
            be(None)


@contextmanager
def _opened(process: OwnProcess) -> Iterator[TextIO]:
    """Open the log of the driver, and write its first line. A disk that is full later is found by what matters more."""
    try:
        process.log.parent.mkdir(parents=True, exist_ok=True)
        log = process.log.open("a", buffering=1, encoding="utf-8")
        log.write(f"{first_line(process)}\n")
    except OSError as error:
        raise UserError(f"output_dir: {process.log} cannot be written to: {error}.") from error
    try:
        yield log
    finally:
        with suppress(OSError):
            log.close()


@contextmanager
def _records_in(log: TextIO, name: Name) -> Iterator[None]:
    """Have r1ray's records written to a file too, with time and name."""
    handler = record_handler(name, log)
    logging.getLogger(ROOT).addHandler(handler)
    try:
        yield
    finally:
        logging.getLogger(ROOT).removeHandler(handler)


def _how(error: BaseException) -> str:
    if isinstance(error, KeyboardInterrupt):
        return "interrupted"
    if isinstance(error, Terminated):
        return str(error)
    return f"failed: {one_line(error)}"
