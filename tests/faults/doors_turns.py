"""An extension of vLLM's workers of the user's own, in which an engine is held as it wakes."""

from __future__ import annotations

from typing import Any

from vllm.v1.worker.cpu_worker import CPUWorker

from tests.faults.gate import hold
from tests.real.sleeping import Spoiling

_wake_up = CPUWorker.wake_up


def wake_up(self: Any, tags: list[str] | None = None) -> None:
    """Wake as the worker does, after a wait."""
    hold("waking")
    _wake_up(self, tags)


CPUWorker.wake_up = wake_up


class Waking(Spoiling):
    """Adds nothing either."""
