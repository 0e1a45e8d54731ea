"""A weight update of an engine: where it stands, and what is left of it when a round breaks.

none --start--> started --update--> arrived --finish--> none, and the version is held
                    `---------------------'--(a failure)--> untouched: no tensor had arrived
                                                      `---> broken: part old, part new
"""

from __future__ import annotations

from contextlib import suppress
from typing import Any, Literal

from vllm.distributed.weight_transfer.base import WeightTransferUpdateRequest
from vllm.v1.engine.async_llm import AsyncLLM

from r1ray.errors import WeightSyncError
from r1ray.weights.vllm_model import NOTHING_ARRIVED

STARTED_WITH = -1
"""The version of the weights that an engine was started with."""


class WeightUpdate:
    """The updates of one engine, of which at most one is open."""

    def __init__(self, llm: AsyncLLM, *, takes_adapters: bool) -> None:
        self._llm, self._takes_adapters = llm, takes_adapters
        self._state: Literal["none", "started", "untouched", "arrived", "broken"] = "none"
        self._held = STARTED_WITH
        self.arriving = STARTED_WITH
        """The version that the next update brings."""

    async def start(self) -> None:
        """Begin an update. One that raised while it received is over for vLLM, and no hindrance."""
        self._state = "broken"
        await self._llm.start_weight_update()
        self._state = "started"

    async def update(self, update_info: dict[str, Any]) -> None:
        """Receive all tensors."""
        self._state = "broken"
        try:
            await self._llm.update_weights(WeightTransferUpdateRequest(update_info))
        except Exception as error:
            self._state = "untouched" if NOTHING_ARRIVED in str(error) else "broken"
            raise
        self._state = "arrived"

    async def finish(self) -> None:
        """Let the engine compute with what has arrived, or, if nothing has, with its old weights."""
        has_arrived, self._state = self._state == "arrived", "broken"
        await self._llm.finish_weight_update()
        if self._takes_adapters:
            await self._llm.collective_rpc("activate_adapter")
        self._state = "none"
        if has_arrived:
            self._held = self.arriving

    async def settle(self) -> int | None:
        """End what a failed round has left open. Return the version that the engine then holds whole; None if there is
        none: then it must not serve before another round."""
        if self._state == "untouched":
            await self.start()
        if self._state in ("started", "arrived") and not self._takes_adapters:
            await self.finish()
        elif self._state != "none":
            self._state = "broken"
            with suppress(Exception):  # if its end was what failed, it is open for vLLM
                await self._llm.finish_weight_update()
        return self._held if self._state == "none" else None

    def forget(self) -> None:
        """Note that the engine gives its weights up: it cannot serve before the next update."""
        self._state, self._held = "broken", STARTED_WITH

    def check_closed(self) -> None:
        """Raise WeightSyncError while an update is open, or broken."""
        if self._state != "none":
            raise WeightSyncError(f"an engine whose weight update is {self._state} cannot serve")
