"""Extensions of vLLM's workers for tests (``rollout.engine_args``): what the publish has to find, and who they are."""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import Any

import torch


class StaleTensor:
    """``plant_stale(name)``: from now on that tensor arrives, and is loaded with its old value."""

    model_runner: Any

    def plant_stale(self, name: str) -> None:
        model = self.model_runner.model
        load = model.load_weights
        kept: dict[str, torch.Tensor] = {}

        def load_weights(weights: Iterable[tuple[str, torch.Tensor]]) -> Any:
            return load([(n, kept.setdefault(n, torch.zeros_like(w)) if n == name else w) for n, w in weights])

        model.load_weights = load_weights


class Pid:
    """Says which process a worker is."""

    def pid(self) -> int:
        return os.getpid()
