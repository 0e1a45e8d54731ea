"""The engines of a transfer, as the sender on learner rank 0 sees them."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import ray
from ray.exceptions import RayError

from r1ray.cluster.host import Handle
from r1ray.cluster.reasons import reason_of
from r1ray.errors import WeightSyncError


class EngineClient:
    """The control plane of a transfer: what vLLM's sender, on learner rank 0, calls on all engines at once."""

    def __init__(self, engines: Sequence[tuple[str, Handle, int]], *, answer_s: float, timeout_s: float) -> None:
        """
        Args:
            engines: name, actor handle and number of vLLM workers of each.
            answer_s: bounds a phase in which nothing is sent.
            timeout_s: bounds the others.
        """
        self._engines, self._answer_s, self._timeout_s = list(engines), answer_s, timeout_s

    def init_weight_transfer_engine(self, init_info: dict[str, Any]) -> None:
        calls, offset = {}, 1
        for name, actor, num_workers in self._engines:
            calls[name] = actor.init_weight_transfer_engine.remote(init_info | {"rank_offset": offset})
            offset += num_workers
        self._wait(calls, "joining the transfer group")

    def start_weight_update(self) -> None:
        calls = {name: actor.start_weight_update.remote() for name, actor, _ in self._engines}
        self._wait(calls, "starting", within_s=self._answer_s)

    def update_weights(self, update_info: Any) -> None:
        self._wait({name: actor.update_weights.remote(update_info) for name, actor, _ in self._engines}, "receiving")

    def finish_weight_update(self, weight_version: str | None = None) -> None:
        self._wait({name: actor.finish_weight_update.remote() for name, actor, _ in self._engines}, "finishing")

    def _wait(self, calls: dict[str, Any], phase: str, *, within_s: float | None = None) -> None:
        deadline = time.monotonic() + (self._timeout_s if within_s is None else within_s)
        failures: dict[str, str] = {}
        for name, call in calls.items():
            try:
                ray.get(call, timeout=max(0.0, deadline - time.monotonic()))
            except RayError as error:
                failures[name] = reason_of(error)
        if failures:
            raise WeightSyncError(
                "; ".join(f"{name} failed {phase} the weights: {why}" for name, why in failures.items()),
                engines=tuple(failures),
            )
