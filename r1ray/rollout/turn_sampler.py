"""One turn of a trajectory on the engines: its slot, its clock, and where it goes when an engine is lost or it is late.

    sample(turns, request) --> [ slot on an engine --> generate --> verified? ] --> Trajectory of one policy segment

A turn is generated, retried and aborted alone. The clock of a trajectory runs while a turn of it has a slot, and stands
still while new weights come in. A trajectory without an environment is one turn.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from r1ray.errors import EngineLost, R1RayError
from r1ray.rollout.engine import Generated, TrajectoryRequest
from r1ray.rollout.placement import EngineSlot, Home, Placement
from r1ray.runtime.background import Background
from r1ray.types import Trajectory

logger = logging.getLogger(__name__)
MAX_ATTEMPTS = 3
UNWANTED = "unwanted"
"""Reason for the end of a turn whose client has gone."""
ABORT_S = 15.0
"""Longest time in which an engine returns what it has of an aborted turn."""


class Ended(R1RayError):
    """A trajectory ended before it was finished; ``partial`` is what there is of it, or of the turn that it was in."""

    def __init__(self, reason: str, partial: Trajectory | None) -> None:
        super().__init__(reason)
        self.reason, self.partial = reason, partial


@dataclass(eq=False, slots=True)
class Generating:
    """A turn that an engine has under way."""

    task: asyncio.Task[Generated]
    slot: EngineSlot
    started: float
    held_s: float
    """``held_s`` of the slot when it was started."""
    left_s: float
    """Until its trajectory is late."""
    timer: asyncio.TimerHandle | None = None
    is_late: bool = False


@dataclass(eq=False, slots=True)
class GroupTurns:
    """The turns of one group."""

    generating: dict[str, Generating] = field(default_factory=dict)
    """Turns under way by their names (:attr:`TrajectoryRequest.turn_id`)."""
    homes: dict[str, Home] = field(default_factory=dict)
    """Place of each trajectory's last turn."""
    spent_s: dict[str, float] = field(default_factory=dict)
    """Time that the turns of each trajectory took, since it was late last."""
    num_failures: dict[str, int] = field(default_factory=dict)
    """Turns of each trajectory that were late, or lost with their engine."""
    verifying: set[str] = field(default_factory=set)
    """Names of turns that an engine has sampled, until it is known that its weights were right."""
    unwanted: set[str] = field(default_factory=set)
    """Names of turns that nobody waits for any more."""
    closed: str = ""
    """The reason why the group was closed before its last trajectory ended."""
    num_retries: int = 0
    first_at: float | None = None
    generated_at: float | None = None


class TurnSampler:
    """Samples turns on the engines of a placement."""

    def __init__(self, placement: Placement, *, deadline_s: float) -> None:
        """``deadline_s``: of the turns of one trajectory together, each from its slot on an engine to its last
        token."""
        self._placement, self._deadline_s = placement, deadline_s
        self._background = Background(_note_failure)

    async def sample(self, turns: GroupTurns, request: TrajectoryRequest) -> Trajectory:
        """Generate one turn, on another engine where one is lost; one that is late goes on there from where it stood.
        Raises EngineLost or Ended after ``MAX_ATTEMPTS`` of its trajectory, and Ended where its group was closed."""
        home = turns.homes.get(request.id)
        while True:
            slot = await self._placement.acquire(home=home, is_eval=request.is_eval)
            if request.given is not None:
                home = turns.homes[request.id] = Home.of(slot)
            try:
                return await self._attempt(turns, request, slot)  # o_i ~ pi_old(. | q)
            except (EngineLost, Ended) as error:
                attempt = turns.num_failures[request.id] = turns.num_failures.get(request.id, 0) + 1
                if attempt == MAX_ATTEMPTS or turns.closed or request.turn_id in turns.unwanted:
                    raise
                turns.num_retries += 1
                if isinstance(error, Ended):
                    request = replace(request, begun=error.partial)
                    turns.spent_s[request.id] = 0.0
                home = Home(slot, -1)  # as a later turn, on any engine
                logger.debug("%s: %s; it is generated again (%d)", request.id, error, attempt)

    def abort(self, generating: Mapping[str, Generating]) -> None:
        """End turns in their engines, whose pending calls then return what there is; those of an engine that does not
        answer are given up."""
        by_slot: dict[EngineSlot, list[str]] = {}
        for name, each in generating.items():
            by_slot.setdefault(each.slot, []).append(name)
            asyncio.get_running_loop().call_later(ABORT_S, each.task.cancel)
        for slot, names in by_slot.items():
            self._background.start(slot.state.engine.abort(names))

    def end(self, turns: GroupTurns, name: str) -> bool:
        """Have a turn that nobody waits for end with what there is of it: :meth:`sample` returns it, or raises Ended
        with it. Returns False where nothing is sampled yet: then its task can be cancelled."""
        turns.unwanted.add(name)
        if (current := turns.generating.get(name)) is not None:
            self.abort({name: current})
        return current is not None or name in turns.verifying

    async def _attempt(self, turns: GroupTurns, request: TrajectoryRequest, slot: EngineSlot) -> Trajectory:
        loop = asyncio.get_running_loop()
        failed_rounds, generated = slot.state.failed_rounds, None
        task = asyncio.ensure_future(slot.state.engine.generate(request))
        left_s = self._deadline_s - turns.spent_s.get(request.id, 0.0)
        current = Generating(task, slot, loop.time(), slot.total_held_s(loop.time()), left_s)
        current.timer = loop.call_later(left_s, self._expire, current, request.turn_id)
        turns.generating[request.turn_id] = current
        turns.first_at = turns.first_at or time.monotonic()
        try:
            generated = await task
        except asyncio.CancelledError:
            if (here := asyncio.current_task()) is not None and here.cancelling():  # nobody wants it any more
                self._background.start(slot.state.engine.abort([request.turn_id]))
                raise
            if slot.is_lost:
                raise EngineLost(f"{slot.state.name} is lost") from None
        finally:
            current.timer.cancel()
            used_s = _used_s(current)
            del turns.generating[request.turn_id]
            of_engine = (generated.kv_tokens, generated.trajectory.num_row_tokens) if generated else (None, None)
            self._placement.release(slot, kv_tokens=of_engine[0], row_tokens=of_engine[1])
        turns.verifying.add(request.turn_id)
        try:
            await slot.verified(failed_rounds)
        finally:
            turns.verifying.discard(request.turn_id)
        turns.generated_at = time.monotonic()
        if generated is None or generated.trajectory.status == "aborted":
            reason = turns.closed if turns.closed and not current.is_late else "late"
            reason = UNWANTED if request.turn_id in turns.unwanted else reason
            raise Ended(reason, generated.trajectory if generated is not None else None)
        turns.spent_s[request.id] = turns.spent_s.get(request.id, 0.0) + used_s
        return generated.trajectory

    def _expire(self, current: Generating, name: str) -> None:
        """Abort a turn whose deadline has passed. Its clock stands still while its engine is held."""
        if (used_s := _used_s(current)) < current.left_s:
            loop = asyncio.get_running_loop()
            current.timer = loop.call_later(current.left_s - used_s, self._expire, current, name)
            return
        current.is_late = True
        self.abort({name: current})


def _used_s(current: Generating) -> float:
    """Return what a turn took until now, without the time during which its engine was held."""
    now = asyncio.get_running_loop().time()
    return now - current.started - (current.slot.total_held_s(now) - current.held_s)


def _note_failure(error: BaseException) -> None:
    logger.warning("an engine did not take an abort: %s", error)
