"""An extension of vLLM's workers for tests (``rollout.engine_args``): on CPUs, where sleep keeps everything, it spoils
the weights that level 2 gives up, so that a publish which is left out is seen."""

from __future__ import annotations

import logging
from typing import Any

import torch
from vllm.v1.worker.cpu_worker import CPUWorker

from r1ray.weights.adapter import AdapterWorker

logger = logging.getLogger("r1ray.tests")
_sleep = CPUWorker.sleep


def sleep(self: Any, level: int = 1) -> None:
    """Sleep as the worker does, and lose what it would lose on a GPU."""
    _sleep(self, level)
    if level == 2:
        floating = [each for each in self.model_runner.model.parameters() if each.is_floating_point()]
        with torch.no_grad():
            for each in floating:
                each.fill_(float("nan"))
        logger.info("spoilt: %d tensors", len(floating))


CPUWorker.sleep = sleep


class Spoiling(AdapterWorker):
    """Adds nothing: importing this module is what it is for."""
