"""The process that copies a run folder: ``python -m r1ray.mirror.process SETTINGS``, a JSON object on the command line.

    lease --> newest manifest --> copied down, where the folder is not ahead of it --> "ready" --> rounds --> last round

It tells the driver what happens in lines of JSON on its standard output. It makes its last round when its standard
input ends, which the driver closes or loses with its life. A store that is away is asked again and again.
"""

from __future__ import annotations

import json
import logging
import os
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

from r1ray.errors import UserError
from r1ray.mirror.downward import copy_down
from r1ray.mirror.lease import BEAT_S, LEASE_S, Lease, LeaseLost
from r1ray.mirror.manifest import Manifest, newest
from r1ray.mirror.record import Record
from r1ray.mirror.store import Store, StoreFailed, StoreRefuses
from r1ray.mirror.upward import PART_BYTES, Upward
from r1ray.runtime import activity, own_process
from r1ray.runtime.run_files import LOGS, holds_work

logger = logging.getLogger(__name__)
NICE = 5
"""The processes that make the run go first."""
RETRY_S = 5.0
PROGRESS_S = 1.0
FIRST_S = 20.0
"""Time in which a store has to answer when a run begins."""
LOST, BEHIND = 4, 5
"""Exit codes of a process whose run has another writer, and of one that ended before everything was copied."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """The settings that a driver gives its copying process."""

    address: str
    folder: str
    writer: str
    """Name of the driver's command; a process that takes the place of one that has ended gets the same."""
    is_again: bool = False
    """The run goes on already: the folder is as it has to be, and a store that is away is waited for."""
    every_s: float = 30.0
    end_s: float = 300.0
    first_s: float = FIRST_S
    beat_s: float = BEAT_S
    lease_s: float = LEASE_S
    part_bytes: int = PART_BYTES


class Driver:
    """Lines to the driver. One that is gone hears nothing."""

    def __init__(self, stream: TextIO) -> None:
        self._stream, self._order = stream, threading.Lock()
        self._told, self._bytes = 0.0, 0
        self.moved = time.monotonic()
        """Time at which bytes went or came last."""

    def tell(self, kind: str, **more: Any) -> None:
        """Write a line."""
        with self._order:
            try:
                self._stream.write(json.dumps({"is": kind, **more}) + "\n")
                self._stream.flush()
            except OSError:
                self._stream = open(os.devnull, "w")  # noqa: SIM115

    def progress(self, num_bytes: int) -> None:
        """Tell that bytes have gone or come, at most once a second."""
        self.moved = time.monotonic()
        self._bytes += num_bytes
        if self.moved - self._told >= PROGRESS_S:
            self._told = self.moved
            self.tell("progress", bytes=self._bytes)


def main(make_store: Callable[[str], Store] = Store) -> None:
    """Copy until the driver ends."""
    settings = Settings(**json.loads(sys.argv[1]))
    driver = Driver(os.fdopen(os.dup(1), "w"))
    os.dup2(2, 1)  # what libraries print is no line of it
    os.nice(NICE)
    over = threading.Event()
    threading.Thread(target=_await_end, args=(over,), daemon=True).start()
    try:
        begun = _begin(settings, make_store, driver, over)
        if begun is None:
            sys.exit(BEHIND)
        with suppress(OSError):  # a full disk is no reason to copy nothing
            (Path(settings.folder) / LOGS).mkdir(exist_ok=True)
            own_process.join()  # the folder is as it has to be now, and the log is in it
        activity.idle_means("changed files of the run folder")
        upward, lease = begun
        _copy(upward, lease, settings, driver, over)
    except UserError as error:
        driver.tell("refused", text=str(error))
    except LeaseLost as error:
        driver.tell("lost", text=str(error))
        sys.exit(LOST)
    except StoreFailed as error:
        driver.tell("refused", text=f"{settings.address}: cannot be used now: {error}.")


def _begin(
    settings: Settings, make_store: Callable[[str], Store], driver: Driver, over: threading.Event
) -> tuple[Upward, Lease] | None:
    """Become the writer, and make the folder the newest state; None where the driver ends before that. Raises
    UserError, LeaseLost, and StoreFailed where the run has not begun."""
    store, folder = make_store(settings.address), Path(settings.folder)
    lease = Lease(store, settings.writer, beat_s=settings.beat_s, lease_s=settings.lease_s)
    logging.getLogger("r1ray.mirror").addHandler(_Saying(driver))
    logging.getLogger("r1ray.mirror").setLevel(logging.INFO)
    until = time.monotonic() + settings.first_s
    while True:
        try:
            if not lease.acquire(over):
                return None
            last = newest(store)
            break
        except StoreFailed as error:
            if not settings.is_again and (isinstance(error, StoreRefuses) or time.monotonic() > until):
                raise
            if settings.is_again:
                driver.tell("behind", why=str(error))
            if over.wait(RETRY_S):
                return None
    lease.keep()
    if not settings.is_again:
        try:
            _bring_down(store, last, folder, settings, driver, over)
        except _Ended:
            _let_go(lease, is_used=last is not None)
            return None
        except OSError as error:
            raise UserError(f"{folder}: cannot be written: {error.strerror or error}.") from error
    upward = Upward(
        store,
        lease,
        folder,
        writer=settings.writer,
        last=last,
        told=driver.progress,
        part_bytes=settings.part_bytes,
    )
    return upward, lease


class _Ended(Exception):
    """The driver has ended, and needs the folder no more."""


def _bring_down(
    store: Store, last: Manifest | None, folder: Path, settings: Settings, driver: Driver, over: threading.Event
) -> None:
    def told(num_bytes: int) -> None:
        driver.progress(num_bytes)
        if over.is_set():
            raise _Ended

    record = Record.of(folder)
    if last is not None and last.files and (record is None or not record.is_newest(store.address, last)):
        size = sum(entry.num_bytes for entry in last.files.values())
        driver.tell("says", text=f"{store.address}: copying {len(last.files)} files ({size / 1e6:.1f} MB) to {folder}")
        copy_down(store, last, folder, told=told)
    came_from, number = (last.writer, last.number) if last is not None else ("", 0)
    Record(store.address, settings.writer, came_from, number).write(folder)


def _copy(upward: Upward, lease: Lease, settings: Settings, driver: Driver, over: threading.Event) -> None:
    """Make rounds until the driver ends, and then the last one. Raises LeaseLost."""
    is_fenced = is_last = False
    driver.tell("ready")
    while not is_last:
        is_last = over.is_set()
        began = time.time()
        try:
            if not is_fenced:
                upward.fence()
                is_fenced = True
            if upward.has_made or holds_work(Path(settings.folder)):
                upward.round(is_last=is_last)
            driver.tell("round", began=began)
        except StoreFailed as error:
            driver.tell("behind", why=str(error))
            if is_last and time.monotonic() - driver.moved > settings.end_s:
                sys.exit(BEHIND)  # nobody else ends it where the driver is gone
            is_last = False
            time.sleep(min(RETRY_S, settings.every_s))
            continue
        over.wait(settings.every_s)
    _end(upward, lease)
    driver.tell("done")


def _end(upward: Upward, lease: Lease) -> None:
    """Let the next writer begin. A run that has made nothing leaves nothing."""
    try:
        if not upward.has_made:
            upward.withdraw()
    except StoreFailed:
        pass
    _let_go(lease, is_used=upward.has_made)


def _let_go(lease: Lease, *, is_used: bool) -> None:
    """Give a lease back, or remove it where the store has nothing else."""
    try:
        lease.give_back() if is_used else lease.remove()
    except StoreFailed:  # the lease runs out by itself
        logger.warning("the lease could not be given back; the next command waits until it has run out")


class _Saying(logging.Handler):
    """Has the driver show what this process logs."""

    def __init__(self, driver: Driver) -> None:
        super().__init__()
        self._driver = driver

    def emit(self, record: logging.LogRecord) -> None:
        self._driver.tell("says", text=record.getMessage())


def _await_end(over: threading.Event) -> None:
    os.read(0, 1)
    over.set()


if __name__ == "__main__":
    main()
