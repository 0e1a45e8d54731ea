"""What a step costs the driver's thread so that it can be seen."""

from __future__ import annotations

import sys
import time
from functools import partial
from pathlib import Path

from r1ray.runtime import events
from r1ray.telemetry.console import Progress
from r1ray.telemetry.diagnosis.watch import DiagnosisWatch
from r1ray.telemetry.live import Live
from r1ray.telemetry.live_view import view_of
from r1ray.telemetry.logs import console, shown_below
from r1ray.telemetry.trackers.supervision import counts
from tests.telemetry.diagnosis.recorded import recorded

OF_A_STEP = 0.01
STEP_S = 1.5
"""Less than a step of the quickstart takes on two quiet cores."""
EVENTS = 8
"""Work of the driver in a step, by its events."""


def test_events_console_diagnosis_and_trackers_take_less_than_a_hundredth_of_a_step(tmp_path: Path) -> None:
    settings, rows = recorded("quickstart-seed1")
    shown = {"completion/length_mean": 9.0, "throughput/generated_tokens_per_s": 400.0}
    rows = [row | (shown if "reward/mean" in row else {}) for row in rows]
    live, progress = Live(tmp_path), Progress(num_steps=len(rows), benchmark="heldout")
    live.begin_stage("rl")
    live.expect_steps(len(rows))
    watch = DiagnosisWatch([], settings=settings, rollouts=tmp_path)
    with console(sys.stdout), shown_below(partial(view_of, live)):
        progress.step(rows[0])  # imports are not a step's
        begun = time.thread_time()
        for row in rows:
            for _ in range(EVENTS):
                with events.doing("wait"):
                    pass
            live.end_step(row)
            progress.step(row)
            watch.note(row | counts())
        took = time.thread_time() - begun
    assert took / len(rows) < OF_A_STEP * STEP_S
