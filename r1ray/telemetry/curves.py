"""curves.png of a run, drawn again after every evaluation by a process of its own: drawing takes seconds, which the
loop's thread does not have.

Curves.redraw --> python -m r1ray.telemetry.curves FOLDER --> metrics.jsonl, rollouts/ --> curves.png
"""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

from r1ray.runtime.activity import waiting
from r1ray.runtime.files import written_aside
from r1ray.runtime.run_files import CURVES
from r1ray.telemetry.metrics import read_rows
from r1ray.telemetry.plot import plot_curves
from r1ray.telemetry.rollouts import reflection_rows

logger = logging.getLogger(__name__)

DRAW_S = 120.0
"""Longest time that one drawing gets."""
METRICS = "metrics.jsonl"
NICENESS = 10
"""Actors go before it where cores are few."""


class Curves:
    """Draws what a stage has logged; one drawing at a time."""

    def __init__(self, folder: Path, *, draw_s: float = DRAW_S) -> None:
        """Take the folder of the stage's metrics."""
        self._folder, self._draw_s = folder, draw_s
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._is_due = False

    def redraw(self) -> None:
        """Have it drawn with what is logged by now; returns at once. What falls due meanwhile is drawn once after."""
        with self._lock:
            self._is_due = True
            if self._thread is None:
                self._thread = threading.Thread(target=self._draw_all, name="curves", daemon=True)
                self._thread.start()

    def finish(self) -> None:
        """Draw the last state, and wait for it, at most for two drawings."""
        self.redraw()
        thread = self._thread
        if thread is not None:
            with waiting(f"the last {CURVES}"):
                thread.join(2 * self._draw_s)

    def _draw_all(self) -> None:
        while True:
            with self._lock:
                if not self._is_due:
                    self._thread = None
                    return
                self._is_due = False
            self._draw()

    def _draw(self) -> None:
        """Draw once. A picture is no reason to end a run."""
        command = [sys.executable, "-m", "r1ray.telemetry.curves", str(self._folder)]
        try:
            # in a session of its own: Ctrl-C and the end of the terminal are for the run
            subprocess.run(command, check=True, timeout=self._draw_s, stdin=subprocess.DEVNULL, start_new_session=True)
        except (subprocess.SubprocessError, OSError) as error:
            logger.warning(f"{self._folder / CURVES} was not drawn: {error}")


def draw(folder: Path) -> None:
    """Draw the metrics and rollouts of a folder into its ``curves.png``, which is replaced when the new one is whole.
    Raises UserError where metrics.jsonl is broken."""
    rows = read_rows(folder / METRICS)
    last = max((row["step"] for row in rows), default=0)
    with written_aside(folder / CURVES) as aside:
        plot_curves(
            rows, aside, title=f"{folder.name}: {last:.0f} steps", reflection=reflection_rows(folder / "rollouts")
        )


if __name__ == "__main__":
    signal.alarm(round(DRAW_S))  # whoever would end it may be gone
    os.nice(NICENESS)
    draw(Path(sys.argv[1]))
