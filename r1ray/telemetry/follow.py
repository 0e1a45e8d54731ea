"""The logs of a run's processes on its console, for who asked for them (``r1ray run -v``)."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from r1ray.runtime.harmless import harmless

POLL_S = 0.5
MOST_AT_ONCE = 256 * 1024
"""Bytes of a log in one look; the rest comes with the next."""
_RECORD = re.compile(r"\S+ \S+ driver-0 [A-Z]+ ")
"""The beginning of what r1ray itself logs in the driver: that is on the console already."""


class Follower:
    """Says what is appended to the logs of a folder, line by line, each after the name of its process."""

    def __init__(self, folder: Path, say: Callable[[str], object]) -> None:
        """Begin at the end of the logs: what they have by now is of an earlier process."""
        self._folder, self._say = folder, say
        self._read = {path: path.stat().st_size for path in folder.glob("*.log")}
        self._begun: dict[Path, bytes] = {}

    def look(self) -> bool:
        """Say what is new; return whether there was anything."""
        found = [(path, line) for path in sorted(self._folder.glob("*.log")) for line in self._new(path)]
        for path, line in found:
            if not (path.stem == "driver-0" and _RECORD.match(line)):
                self._say(harmless(f"{path.stem} | {line}"))
        return bool(found)

    def _new(self, path: Path) -> list[str]:
        try:
            with path.open("rb") as file:
                file.seek(self._read.get(path, 0))
                data = file.read(MOST_AT_ONCE)
        except OSError:
            return []
        self._read[path] = self._read.get(path, 0) + len(data)
        *lines, self._begun[path] = (self._begun.get(path, b"") + data).split(b"\n")
        if len(self._begun[path]) > MOST_AT_ONCE:  # a line without an end
            lines.append(self._begun.pop(path))
        return [line.decode(errors="replace") for line in lines]


@contextmanager
def followed(folder: Path, say: Callable[[str], object]) -> Iterator[None]:
    """Say what is appended to the logs of a folder while the block lasts."""
    follower, over = Follower(folder, say), threading.Event()

    def follow() -> None:
        while not over.wait(POLL_S):
            follower.look()

    following = threading.Thread(target=follow, name="logs", daemon=True)
    following.start()
    try:
        yield
    finally:
        over.set()
        following.join(10 * POLL_S)
        follower.look()
