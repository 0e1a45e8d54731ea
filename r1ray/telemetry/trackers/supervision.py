"""The driver's side of trackers: their helper processes, started once a run has metrics and again where one ends.

All of it is done by a thread of its own; what the driver's steps cost is reading :func:`counts`.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from r1ray.config import TrackingConfig
from r1ray.runtime.run_files import TRACKERS
from r1ray.telemetry.trackers.follower import folders_of
from r1ray.telemetry.trackers.process import ROLE, Helper

logger = logging.getLogger(__name__)
LOOK_S = 1.0
COUNT_S = 5.0


class Trackers:
    """The helpers of a run."""

    def __init__(self, run_dir: Path, names: Sequence[str], settings: TrackingConfig) -> None:
        self._run_dir, self._end_s = run_dir, settings.end_s
        self._helpers = [Helper(name, index, run_dir, settings) for index, name in enumerate(names)]
        self._over, self._counted = threading.Event(), 0.0
        self._thread = threading.Thread(target=self._watch, name="trackers", daemon=True)

    def start(self) -> None:
        """Watch over the helpers, from a thread."""
        self._thread.start()

    def counts(self) -> dict[str, float]:
        """Return ``faults/tracker`` if a helper was lost, and ``tracker/<name>/unsent`` of those that are behind."""
        lost = sum(helper.num_lost for helper in self._helpers)
        unsent = {f"tracker/{each.name}/unsent": float(each.num_unsent) for each in self._helpers if each.num_unsent}
        return ({f"faults/{ROLE}": float(lost)} if lost else {}) | unsent

    def end(self) -> None:
        """Have everything sent, for as long as ``tracking.end_s``; say what was not."""
        self._over.set()
        self._thread.join()
        until = time.monotonic() + self._end_s
        self._look(time.monotonic())  # what came since the last look may be all that there is
        for helper in self._helpers:
            helper.ask_to_end()
        ended = [helper.end(until - time.monotonic()) for helper in self._helpers]
        folders = folders_of(self._run_dir)
        for helper, has_ended in zip(self._helpers, ended, strict=True):
            helper.count(folders, time.monotonic())
            self._say_missing(helper, has_ended=has_ended)

    def _say_missing(self, helper: Helper, *, has_ended: bool) -> None:
        bound = f"within tracking.end_s={self._end_s:g}"
        if helper.num_unsent:
            logger.warning(
                f"tracker {helper.name}: {helper.num_unsent} lines of metrics were not sent {bound}; the same command "
                "sends them"
            )
        elif not has_ended:
            rest = f"; `wandb sync` sends what it left in {self._run_dir / TRACKERS}" if helper.name == "wandb" else ""
            logger.warning(f"tracker {helper.name}: it took everything, and did not end {bound}{rest}")

    def _watch(self) -> None:
        while not self._over.wait(LOOK_S):
            try:
                self._look(time.monotonic())
            except Exception:  # a helper that cannot be started, or a folder that is gone, ends no run
                logger.warning("trackers cannot be watched now", exc_info=True)

    def _look(self, now: float) -> None:
        folders = folders_of(self._run_dir)
        if not folders:
            return
        for helper in self._helpers:
            helper.look(now)
            if now - self._counted >= COUNT_S:
                helper.count(folders, now)
        if now - self._counted >= COUNT_S:
            self._counted = now


_current: Trackers | None = None


def counts() -> dict[str, float]:
    """Return the metrics of the trackers of this process's run; see :meth:`Trackers.counts`."""
    return {} if _current is None else _current.counts()


@contextmanager
def tracked(run_dir: Path, names: Sequence[str], settings: TrackingConfig) -> Iterator[None]:
    """Have trackers follow a run while the block lasts."""
    global _current
    if not names:
        yield
        return
    trackers = _current = Trackers(run_dir, names, settings)
    trackers.start()
    try:
        yield
    finally:
        _current = None
        trackers.end()
