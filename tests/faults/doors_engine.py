"""A logits processor of the user's own, in which generation is held; with it comes the gate of publishes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from vllm.v1.sample.logits_processor import LogitsProcessor

from r1ray.weights import gloo, gloo_receiver, vllm_model
from tests.faults.gate import hold


class Unchanged(LogitsProcessor):  # type: ignore[misc]
    """Changes nothing."""

    def __init__(self, vllm_config: Any, device: torch.device, is_pin_memory: bool) -> None:
        pass

    def is_argmax_invariant(self) -> bool:
        return False

    def update_state(self, batch_update: Any) -> None:
        pass

    def apply(self, logits: torch.Tensor) -> torch.Tensor:
        hold("generating")
        return logits


_receive = gloo.receive


def receive(*given: Any, **how: Any) -> Iterator[tuple[str, torch.Tensor]]:
    """Receive a bucket of weights as the engine does, after a wait."""
    hold("publishing")
    return _receive(*given, **how)


gloo_receiver.receive = receive  # type: ignore[attr-defined]
_load = vllm_model.load


def load(*given: Any) -> None:
    """Load a snapshot as the engine does, after a wait."""
    hold("publishing")
    _load(*given)


vllm_model.load = load  # type: ignore[attr-defined]
