"""The engine that a trajectory goes to: the one with the least keys and values in use, once one has a free slot.

    driver --update(states)--> Placement --acquire(home)--> EngineSlot --release()--> the next that waits

Nothing is placed at issue: what waits for a slot waits here, first come, first served, and no clock of it runs. A turn
goes to the engine of the turn before, which has its history in the cache, until new weights make the cache worthless.
"""

from __future__ import annotations

import asyncio
import heapq
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import count
from typing import Literal, TypeAlias

from r1ray.errors import EngineLost
from r1ray.rollout.engine import RolloutEngine


@dataclass(frozen=True, slots=True)
class EngineState:
    """One engine, as the driver tells group workers of it."""

    name: str
    incarnation: int
    """Rises by one with each engine in the place of a lost one."""
    engine: RolloutEngine
    num_slots: int
    """Trajectories that this worker may have under way there."""
    state: Literal["serving", "held", "lost"]
    """It holds verified weights; what it samples is held back until that is known; it is gone."""
    failed_rounds: int = 0
    """Publishes after which it was found wrong; what it sampled in between is not handed on."""


_Waiting: TypeAlias = "deque[asyncio.Future[EngineSlot]]"


@dataclass(eq=False, slots=True)
class EngineSlot:
    """An engine and what this worker has under way there."""

    state: EngineState
    running: int = 0
    kv_tokens: float = 0.0
    """As the engine said last, and an estimate of what was placed since."""
    stamp: int = 0
    """Of its entry in the heap; older entries count no more."""
    serving: asyncio.Event = field(default_factory=asyncio.Event)
    """Cleared while what the engine samples is held back."""
    held_since: float | None = None
    held_s: float = 0.0
    num_holds: int = 0
    """Times that it was held: each may bring other weights."""
    returning: _Waiting = field(default_factory=deque)
    """Turns that wait for this engine, because the turn before was here."""

    @property
    def is_lost(self) -> bool:
        return self.state.state == "lost"

    @property
    def is_free(self) -> bool:
        return self.state.state == "serving" and self.running < self.state.num_slots

    def total_held_s(self, now: float) -> float:
        """Seconds until ``now`` during which the engine was held: no trajectory's clock runs then."""
        return self.held_s + (now - self.held_since if self.held_since is not None else 0.0)

    async def verified(self, failed_rounds: int) -> None:
        """Wait until what the engine sampled may be handed on. Raises EngineLost where it must not be."""
        await self.serving.wait()
        if self.is_lost or self.state.failed_rounds != failed_rounds:
            raise EngineLost(f"{self.state.name} was lost, or found wrong")


@dataclass(frozen=True, slots=True)
class Home:
    """The engine of a trajectory's last turn, as it was when the turn began."""

    slot: EngineSlot
    num_holds: int

    @classmethod
    def of(cls, slot: EngineSlot) -> Home:
        """Return the home of a trajectory whose turn begins on an engine."""
        return cls(slot, slot.num_holds)

    @property
    def is_left(self) -> bool:
        """Return whether nothing in the engine's cache is of use to the trajectory any more."""
        return self.slot.is_lost or self.slot.num_holds != self.num_holds


class Placement:
    """The engines of one group worker."""

    def __init__(self) -> None:
        self._slots: dict[str, EngineSlot] = {}
        self._heap: list[tuple[float, int, EngineSlot]] = []  # kv_tokens, stamp, engine
        self._stamps = count(1)
        self._waiting: _Waiting = deque()
        self._begun: _Waiting = deque()
        """Later turns, of trajectories without a home: they are older than what waits for its first."""
        self._eval_waiting: _Waiting = deque()
        """Evaluation goes first: a step waits for it, and it never asks for more than a few at a time."""
        self._mean_tokens = 1.0  # of a trajectory's row

    @property
    def num_waiting(self) -> int:
        queues = [self._waiting, self._begun, self._eval_waiting, *(slot.returning for slot in self._slots.values())]
        return sum(map(len, queues))

    def update(self, states: Sequence[EngineState]) -> list[EngineSlot]:
        """Take over what the driver says. Returns the slots of engines that are newly lost."""
        now, lost = asyncio.get_running_loop().time(), []
        for state in states:
            slot = self._slots.get(state.name)
            if slot is None or slot.state.incarnation != state.incarnation:
                if slot is not None and not slot.is_lost:
                    lost.append(self._lose(slot))
                slot = self._slots[state.name] = EngineSlot(state)
            elif state.state == "lost" and not slot.is_lost:
                lost.append(self._lose(slot))
            slot.state = state
            if state.state == "held":
                if slot.held_since is None:
                    slot.num_holds += 1
                    self._send_away(slot)
                slot.serving.clear()
                slot.held_since = slot.held_since if slot.held_since is not None else now
            else:
                slot.held_s, slot.held_since = slot.total_held_s(now), None
                slot.serving.set()
            self._changed(slot)
        self._match(*self._slots.values())
        return lost

    async def acquire(self, *, home: Home | None = None, is_eval: bool = False) -> EngineSlot:
        """Wait for a free slot and take it, on the engine with the least keys and values in use.

        Args:
            home: of a trajectory that has had a turn. Until its engine has other weights it is that engine's.
        """
        future: asyncio.Future[EngineSlot] = asyncio.get_running_loop().create_future()
        if home is not None and not home.is_left:
            # Evaluation first here too; turns of it that wait for one engine are few, and their order is all the same.
            (home.slot.returning.appendleft if is_eval else home.slot.returning.append)(future)
            self._match(home.slot)
        else:
            (self._eval_waiting if is_eval else self._waiting if home is None else self._begun).append(future)
            self._match()
        try:
            return await future
        except asyncio.CancelledError:
            if future.done() and not future.cancelled():
                self.release(future.result())
            raise

    def release(self, slot: EngineSlot, *, kv_tokens: int | None = None, row_tokens: int | None = None) -> None:
        """Give a slot back, with what the engine said of its memory and the size of what ended there."""
        slot.running -= 1
        if row_tokens is not None:
            self._mean_tokens += (row_tokens - self._mean_tokens) / 64
        slot.kv_tokens = float(kv_tokens) if kv_tokens is not None else max(0.0, slot.kv_tokens - self._mean_tokens)
        self._changed(slot)
        self._match(slot)

    def _lose(self, slot: EngineSlot) -> EngineSlot:
        slot.state = EngineState(slot.state.name, slot.state.incarnation, slot.state.engine, 0, "lost")
        slot.serving.set()
        self._send_away(slot)
        return slot

    def _send_away(self, slot: EngineSlot) -> None:
        """Let turns that wait for an engine go to any: it has nothing of them in its cache any more."""
        self._begun.extend(slot.returning)
        slot.returning.clear()

    def _changed(self, slot: EngineSlot) -> None:
        slot.stamp = next(self._stamps)
        if slot.is_free:
            heapq.heappush(self._heap, (slot.kv_tokens, slot.stamp, slot))
        if len(self._heap) > 4 * len(self._slots) + 64:  # what was overtaken sinks, and would stay for ever
            self._heap = [entry for entry in self._heap if entry[1] == entry[2].stamp]
            heapq.heapify(self._heap)

    def _least(self) -> EngineSlot | None:
        while self._heap:
            _, stamp, slot = self._heap[0]
            if stamp == slot.stamp and slot.is_free:
                return slot
            heapq.heappop(self._heap)
        return None

    def _match(self, *changed: EngineSlot) -> None:
        """Give free slots to what waits: to evaluation, then to the turns that wait for one of the ``changed`` engines,
        then to the others."""
        self._give(self._eval_waiting)
        for slot in changed:
            while slot.returning and slot.is_free:
                self._take(slot, slot.returning)
        self._give(self._begun)
        if not self._begun:
            self._give(self._waiting)

    def _give(self, waiting: _Waiting) -> None:
        while waiting and (slot := self._least()) is not None:
            self._take(slot, waiting)

    def _take(self, slot: EngineSlot, waiting: _Waiting) -> None:
        """Give a slot to the first that waits, if it still does."""
        if (future := waiting.popleft()).done():  # whoever waited was cancelled
            return
        slot.running += 1
        slot.kv_tokens += self._mean_tokens
        self._changed(slot)
        future.set_result(slot)
