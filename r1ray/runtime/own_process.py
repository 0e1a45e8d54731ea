"""Name, log and status file of this process: ``RUN_DIR/logs/rollout-worker-0.log`` and ``.json`` beside it.

An actor finds the path of its log in its environment, where whoever starts it puts it (:func:`environment`), and so do
the processes that it starts itself, such as vLLM's engine core. A process on any node writes both files, if the node
sees the run folder; what it prints, and what its libraries print, goes to the log.
"""

from __future__ import annotations

import json
import logging
import multiprocessing
import os
import re
import sys
import threading
import time
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TextIO

from r1ray.runtime import activity, events
from r1ray.runtime.causes import START
from r1ray.runtime.events import EVENTS, EventFile
from r1ray.runtime.processes import ProcessId, own_process_id
from r1ray.runtime.run_files import LOGS
from r1ray.runtime.stacks import answer_in

LOG, NODE = "R1RAY_LOG", "R1RAY_DRIVER_NODE"
"""The variables of the environment that hold the path of an actor's log, and the name of the driver's host."""
BEAT_S, EVENTS_S = 5.0, 1.0
WORKER = re.compile(r"VllmWorker-(\d+)")


@dataclass(frozen=True, slots=True)
class Name:
    """A process of a run: ``rollout worker``, 0.

    Example: ``Name("engine worker", 0, part="3")`` is the third vLLM worker of rollout worker 0.
    """

    role: str
    index: int
    part: str = ""
    """Tells several processes with one role and index apart."""

    def __str__(self) -> str:
        return f"{self.role.replace(' ', '-')}-{self.index}" + (f".{self.part}" if self.part else "")

    @classmethod
    def parse(cls, text: str) -> Name:
        """Return the name that has this text."""
        role, _, number = text.rpartition("-")
        index, _, part = number.partition(".")
        return cls(role.replace("-", " "), int(index), part)


@dataclass(frozen=True, slots=True)
class Told:
    """A process's status file: what it says of itself."""

    role: str
    index: int
    process: ProcessId
    waits_for: str
    since: float
    """Unix seconds."""
    last_error: str
    log: str
    updated: float
    """Unix seconds."""


class OwnProcess:
    """This process, as it tells of itself."""

    def __init__(self, name: Name, log: Path) -> None:
        self.name, self.log, self.process, self.last_error = name, log, own_process_id(), ""
        self._writing = threading.Lock()
        self._events = self._event_file()

    def told(self) -> Told:
        """Return what is to be told now."""
        doing = activity.current()
        return Told(
            role=self.name.role,
            index=self.name.index,
            process=self.process,
            waits_for=doing.waits_for,
            since=doing.since,
            last_error=self.last_error,
            log=str(self.log),
            updated=time.time(),
        )

    def write(self) -> None:
        """Write the status file. A file system that is full, or gone, is found elsewhere."""
        with suppress(OSError), self._writing:
            write_whole(self.log.with_suffix(".json"), asdict(self.told()))

    def write_events(self, *, is_last: bool = False) -> None:
        """Append what has ended since the last call to the run's events; ``is_last``: what lasts ends now."""
        if self._events is not None:
            self._events.write(events.take(is_last=is_last), num_dropped=events.num_dropped())

    def beat(self) -> None:
        """Write the status file and events again and again, from a thread of its own."""
        while True:
            self.write()
            for _ in range(round(BEAT_S / EVENTS_S)):
                self.write_events()
                time.sleep(EVENTS_S)

    def _event_file(self) -> EventFile | None:
        """Return the file of this node: storage that nodes share does not append for several of them."""
        if self.log.parent.name != LOGS:
            return None
        node = self.process.node
        file = EVENTS if os.environ.get(NODE, node) == node else f"{Path(EVENTS).stem}.{node}.jsonl"
        actor = f"{self.name.role} {self.name.index}" + (f".{self.name.part}" if self.name.part else "")
        return EventFile(self.log.parent.parent / file, actor=actor)


_own: OwnProcess | None = None


def own() -> OwnProcess | None:
    """Return this process; None if it has no name, or was forked from one that has."""
    return _own if _own is not None and _own.process.pid == os.getpid() else None


def be(process: OwnProcess | None) -> None:
    """Take a name, or give it back."""
    global _own
    _own = process


def environment(name: Name) -> dict[str, str]:
    """Return what an actor that this process starts has to find in its environment, to be called ``name``."""
    process = own()
    if process is None:
        return {}
    return {LOG: str(process.log.parent / f"{name}.log"), NODE: os.environ.get(NODE, process.process.node)}


def name_in(environment: dict[str, str]) -> str:
    """Return the name that :func:`environment` gives; empty where it gives none."""
    path = environment.get(LOG)
    return Path(path).stem if path else ""


def join() -> None:
    """Take the name that the environment holds: log, status file, and stacks on a signal. In a process that an actor
    started, the name of its part. Calling it again changes nothing, and so does calling it where nothing was given."""
    path = os.environ.get(LOG)
    if path is None or own() is not None:
        return
    log = Path(path)
    if _is_part():
        activity.idle_means(f"requests of {log.stem}, if it does not compute")
        log = log.with_name(f"{part_of(Name.parse(log.stem), multiprocessing.current_process().name)}.log")
    process = OwnProcess(Name.parse(log.stem), log)
    if not _redirect(process):
        return
    be(process)
    threading.Thread(target=process.beat, name="status", daemon=True).start()


def note_error(error: BaseException) -> None:
    """Tell of an error in the status file."""
    if (process := own()) is not None:
        process.last_error = one_line(error)


def one_line(error: BaseException) -> str:
    """Return an error's type, and the first line of its text that has something in it."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return f"{type(error).__name__}: {lines[0][:300]}" if lines else type(error).__name__


def write_whole(path: Path, value: dict[str, Any]) -> None:
    """Write a JSON file aside, then rename it. Nothing waits until it is on the disk: after a power cut nobody needs
    it."""
    aside = path.with_name(f".writing-{path.name}")
    aside.write_text(json.dumps(value) + "\n", encoding="utf-8")
    aside.replace(path)


def _is_part() -> bool:
    """Return whether this is a process of vLLM, which an actor started."""
    return multiprocessing.parent_process() is not None


def part_of(actor: Name, process: str) -> Name:
    """Return the name of a process that an engine's actor started, by the name that vLLM gives it: its engine core, or
    a worker of that."""
    base = actor.role.removesuffix("rollout worker").removesuffix("engine")
    if worker := WORKER.fullmatch(process):
        return Name(f"{base}engine worker", actor.index, worker[1])
    return Name(f"{base}engine core", actor.index, actor.part)


def first_line(process: OwnProcess) -> str:
    """Return what a process writes to its log first, where :mod:`r1ray.runtime.causes` begins to read."""
    return f"{START}{process.name}: process {process.process.pid} on {process.process.node}"


def record_handler(name: Name, log: TextIO) -> logging.Handler:
    """Return what writes r1ray's records to a log, with time and name."""
    handler = logging.StreamHandler(log)
    handler.setFormatter(logging.Formatter(f"%(asctime)s {name} %(levelname)s %(message)s"))
    return handler


def _redirect(process: OwnProcess) -> bool:
    """Have all that is printed here go to the log, and r1ray's records with time and name. Returns whether it can be
    written to: a node may not see the run folder, and a log is no reason to fail."""
    log = process.log
    try:
        file = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    except OSError:
        return False
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    os.dup2(file, 1)
    os.dup2(file, 2)
    started = time.strftime("%Y-%m-%d %H:%M:%S")
    os.write(file, f"{first_line(process)}, {started}\n".encode())
    answer_in(file)
    logger = logging.getLogger("r1ray")
    logger.addHandler(record_handler(process.name, open(file, "w", buffering=1, closefd=False)))  # noqa: SIM115
    logger.setLevel(logging.INFO)
    logger.propagate = False
    return True
