"""The snapshot of a run, as the driver keeps it: where the learner writes a version, and where engines find it."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable

from ray.exceptions import RayError

from r1ray.cluster.host import Handle
from r1ray.weights.snapshot import SnapshotPlace

logger = logging.getLogger(__name__)
MAX_PROBLEMS = 3
ANSWER_S, START_S = 30.0, 90.0
"""Deadlines of the keeper's answers, for it has nothing else to do, and of the first one after its start."""


class Snapshot:
    """The files of one keeper. Without a keeper nothing is kept: the learner then sends to every engine that comes."""

    def __init__(self, spawn: Callable[[], Handle] | None) -> None:
        """``spawn`` starts a keeper."""
        self._spawn = spawn
        self._keeper = spawn() if spawn is not None else None
        self._started_at: float | None = time.monotonic()
        """None once the keeper has answered."""
        self._whole: SnapshotPlace | None = None
        """The place of the live version."""
        self._written: SnapshotPlace | None = None
        """The place of one that is not live yet."""
        self._num_problems = 0

    def of(self, version: int) -> SnapshotPlace | None:
        """Return where a version is; None if it is not kept."""
        return self._whole if self._whole is not None and self._whole.version == version else None

    def kept(self, version: int) -> SnapshotPlace | None:
        """Return where a version is, be it live yet or not; None if it is not kept."""
        return next(
            (each for each in (self._whole, self._written) if each is not None and each.version == version), None
        )

    async def place(self, version: int) -> SnapshotPlace | None:
        """Return where the learner is to write a version; None if it need not, or there is no place."""
        self._written = None
        if self._spawn is None or self.of(version) is not None:
            return None
        paths = await self._paths()
        taken = self._whole.path if self._whole is not None else None
        return next((SnapshotPlace(path, version) for path in paths if path != taken), None)

    def note(self, place: SnapshotPlace, problem: str) -> None:
        """Note that the learner has written a version, or what kept it from that. After some times in a row nothing
        more is kept."""
        if not problem:
            self._written, self._num_problems = place, 0
            return
        logger.warning(
            "version %d is not kept as a snapshot: %s. An engine in the place of a lost one waits for the learner "
            "(weights.snapshot=false keeps none).",
            place.version,
            problem,
        )
        self._num_problems += 1
        if self._num_problems == MAX_PROBLEMS:
            self._spawn = self._whole = None

    def publish(self, version: int) -> None:
        """Take a version that was written for the live one. The one before can be written over from here on."""
        if self._written is not None and self._written.version == version:
            self._whole, self._written = self._written, None

    async def _paths(self) -> list[str]:
        assert self._spawn is not None and self._keeper is not None
        try:
            async with asyncio.timeout(ANSWER_S):
                paths: list[str] = await self._keeper.paths.remote()
            self._started_at = None
            return paths
        except (RayError, TimeoutError) as error:
            if isinstance(error, TimeoutError) and self._is_starting:
                return []
            logger.warning("the process that keeps the snapshot is lost; another one is started, for the next version")
            self._keeper.kill()
            self._keeper, self._whole, self._written = self._spawn(), None, None
            self._started_at = time.monotonic()
            return []

    @property
    def _is_starting(self) -> bool:
        return self._started_at is not None and time.monotonic() - self._started_at < START_S
