"""One answer of every evaluation, shown as soon as the rollout log has it."""

from __future__ import annotations

import logging
import threading
import time
from pathlib import Path

from r1ray.errors import R1RayError
from r1ray.evaluation.shown_answers import first_answer
from r1ray.telemetry.driver_status import show_sample

logger = logging.getLogger(__name__)

WAIT_S, POLL_S = 120.0, 0.5
"""Wait for the rollout log, which is written behind the loop."""


def tell_sample(folder: Path, step: int) -> threading.Thread:
    """Begin to wait for the evaluation of a step, and show an answer of it. Returns who waits: nothing depends on it,
    and it ends with the process.

    Args:
        folder: ``rollouts`` of a run.
    """
    waiting = threading.Thread(target=_tell, args=(folder, step, time.monotonic() + WAIT_S), name="sample", daemon=True)
    waiting.start()
    return waiting


def _tell(folder: Path, step: int, end: float) -> None:
    while time.monotonic() < end:
        try:
            text = first_answer(folder, step)
        except (R1RayError, OSError, ValueError, KeyError):  # a sample is no reason to end a run
            return
        if text is not None:
            show_sample(text)
            logger.info(text, extra={"style": "dim"})
            return
        time.sleep(POLL_S)
