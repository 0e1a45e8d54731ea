"""Copying processes that end in the middle, each a fork of this program: ``python -m tests.mirror.faulty CASES``.

A case is a JSON object: which write of the process it ends at, how, before or after the write, and who goes on. This
process itself never talks to the store, for what it forks could not then. It prints a line of JSON for each case.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import sys
import time
import traceback
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from r1ray.mirror import process
from r1ray.mirror.downward import copy_down
from r1ray.mirror.manifest import FILES, MANIFESTS, Manifest, newest
from r1ray.mirror.process import Settings
from r1ray.mirror.store import Store, Tag
from r1ray.telemetry.metrics import read_rows
from tests.mirror.planted import contents, step

STEPS = 3
HANGS_S = 60.0
PART_BYTES = 150_000
HOW = ("kill", "raise", "exit", "none")


class Fault(Exception):
    """Something that nobody expected."""


@dataclass(frozen=True)
class Case:
    """One end of a process."""

    at: int
    """Number of the write, from 0."""
    how: str
    """SIGKILL, an exception, ``sys.exit``, or no fault."""
    is_after: bool
    """The write has been made."""
    is_elsewhere: bool
    """Another node goes on, with a folder of its own; else a new process of the same driver, in the same folder."""


class FaultyStore(Store):
    """Ends its process at a write, and plants a step of the run after each manifest."""

    def __init__(self, address: str, case: Case, folder: Path, end: Callable[[], None]) -> None:
        super().__init__(address)
        self._case, self._folder, self._end = case, folder, end
        self.writes: list[str] = []
        self._is_over = False

    def put(self, key: str, content: bytes) -> None:
        self._write("put", lambda: Store.put(self, key, content))

    def create(self, key: str, content: bytes) -> Tag:
        tag = self._write(f"create {key}", lambda: Store.create(self, key, content))
        if key.startswith(MANIFESTS):
            self._plant()
        return tag

    def replace(self, key: str, content: bytes, tag: Tag) -> Tag:
        if b'"is_over": true' not in content:  # a beat: when it comes is a matter of chance
            return super().replace(key, content, tag)
        return self._write("give back", lambda: Store.replace(self, key, content, tag))

    def remove(self, keys: Iterable[str]) -> None:
        if wanted := list(keys):
            self._write("remove", lambda: Store.remove(self, wanted))

    def _write(self, what: str, write: Callable[[], Any]) -> Any:
        number = len(self.writes)
        self.writes.append(what)
        is_here = self._case.how != "none" and number == self._case.at
        if is_here and not self._case.is_after:
            self._fail()
        done = write()
        if is_here:
            self._fail()
        return done

    def _fail(self) -> None:
        if self._case.how == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        if self._case.how == "exit":
            sys.exit(3)
        raise Fault("an exception in the middle")

    def _plant(self) -> None:
        last = max((row["step"] for row in read_rows(self._folder / "metrics.jsonl")), default=0)
        if last < STEPS:
            step(self._folder, last + 1)
        elif not self._is_over:
            self._is_over = True
            self._end()


def copying(case: Case, address: str, folder: Path, writer: str, *, is_again: bool = False) -> None:
    """Be a copying process from here to the end of this program."""
    reading, writing = os.pipe()
    os.dup2(reading, 0)
    settings = Settings(
        address=address,
        folder=str(folder),
        writer=writer,
        is_again=is_again,
        every_s=0.01,
        beat_s=0.1,
        lease_s=0.5,
        part_bytes=PART_BYTES,
    )
    sys.argv = ["process", json.dumps(asdict(settings))]
    store = FaultyStore(address, case, folder, lambda: os.close(writing))
    process.main(lambda _: store)
    (folder.parent / "writes.json").write_text(json.dumps(store.writes))


def check_state(address: str, folder: Path) -> None:
    """Fail unless the newest manifest is the whole state of a run at some time."""
    store = Store(address)
    manifest = newest(store)
    if manifest is None:
        return
    copy_down(store, manifest, folder)
    found = contents(folder)
    steps = [int(row["step"]) for row in read_rows(folder / "metrics.jsonl")]
    assert steps == list(range(1, len(steps) + 1)), steps
    saved = sorted({int(path.split("/")[1]) for path in found if path.startswith("checkpoints/")})
    assert not saved or saved[-1] <= len(steps), (saved, steps)
    whole = folder.with_name("whole")
    for number in range(1, len(steps) + 1):
        step(whole, number)
        for name, content in contents(whole).items():
            if name.startswith(f"checkpoints/{number}/") and number in saved:
                assert found.get(name) == content, name


def check_end(address: str, folder: Path, copy: Path) -> None:
    """Fail unless the store has what the folder has, and nothing beside."""
    store = Store(address)
    manifest = newest(store)
    assert manifest is not None
    copy_down(store, manifest, copy)
    assert contents(copy) == contents(folder)
    steps = [row["step"] for row in read_rows(folder / "metrics.jsonl")]
    assert steps == list(range(1, STEPS + 1)), steps
    named = set[str]()
    for key in store.keys(MANIFESTS):
        found = store.get(key)
        assert found is not None
        named |= Manifest.from_json(found[0]).objects
    assert set(store.keys(FILES)) == named, "objects that nobody names"


def forked(work: Callable[[], None]) -> tuple[int, str]:
    """Do something in a child, whose interpreter ends as any other does; return its exit status and what it said."""
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.dup2(writing, 2)
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # what it would tell a driver
        os.close(reading)
        os.close(writing)
        raise _Child(work)
    os.close(writing)
    deadline = time.monotonic() + HANGS_S
    while (ended := os.waitpid(pid, os.WNOHANG))[0] == 0:
        if time.monotonic() > deadline:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
            return -1, "it hangs"
        time.sleep(0.01)
    with os.fdopen(reading) as said:
        return os.waitstatus_to_exitcode(ended[1]), said.read()


class _Child(BaseException):
    """Leads out of everything in a fork."""

    def __init__(self, work: Callable[[], None]) -> None:
        self.work = work


def problem_of(case: Case, address: str, root: Path) -> str:
    """Run a case; return what was wrong, nothing where it was right."""
    folder, other = root / "here" / "run", root / "there" / "run"
    folder.mkdir(parents=True)
    step(folder, 1)
    code, said = forked(lambda: copying(case, address, folder, "first"))
    expected = {"kill": -signal.SIGKILL, "exit": 3, "raise": 1, "none": 0}[case.how]
    if code != expected:
        return f"ended with {code}: {said}"
    code, said = forked(lambda: check_state(address, root / "state"))
    if code:
        return f"the newest state is wrong: {said}"
    after, none = (other if case.is_elsewhere else folder), Case(0, "none", False, False)
    after.mkdir(parents=True, exist_ok=True)
    if case.is_elsewhere:
        code, said = forked(lambda: copying(none, address, after, "second"))
    else:
        code, said = forked(lambda: copying(none, address, after, "first", is_again=True))
    if code:
        return f"who went on ended with {code}: {said}"
    code, said = forked(lambda: check_end(address, after, root / "end"))
    return f"the end is wrong: {said}" if code else ""


def main() -> None:
    """Run the cases."""
    address, root, cases = sys.argv[1], Path(sys.argv[2]), json.loads(sys.argv[3])
    for number, each in enumerate(cases):
        case = Case(**each)
        where = root / str(number)
        problem = problem_of(case, f"{address}/{number}", where)
        writes = where / "here" / "writes.json"
        told = json.loads(writes.read_text()) if case.how == "none" else []
        print(json.dumps({**each, "problem": problem, "writes": told}), flush=True)
        shutil.rmtree(where, ignore_errors=True)


if __name__ == "__main__":
    try:
        main()
    except _Child as child:
        work = child.work
    else:
        sys.exit(0)
    sys.excepthook = lambda *error: traceback.print_exception(*error)
    work()
