"""A group worker: runs groups from their request to their last reward, and keeps their trajectories.

    run(request) --> G x [ slot on an engine --> generate --> verified? --> score --> held ] --> ScoredGroup
    read(ids) <-- learner ranks, rollout log          drop(ids) <-- driver, once a step

The driver gets one message a group, without a token in it. A trajectory is generated, timed, retried and aborted alone;
its clock starts with its slot and stands still while new weights come in. A plain class: in the driver's process on one
machine, an actor on each rollout node of a cluster.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from uuid import uuid4

from r1ray.errors import EngineLost, R1RayError, first_of
from r1ray.interfaces import Scorer
from r1ray.rollout.engine import Generated, TrajectoryRequest
from r1ray.rollout.placement import EngineSlot, EngineState, Placement
from r1ray.runtime.background import Background
from r1ray.types import GroupRequest, Removed, Scored, ScoredGroup, ScoredTrajectory, Trajectory

logger = logging.getLogger(__name__)
MAX_ATTEMPTS = 3
MAX_TEXT = 400
"""Characters of an extracted answer, and of a detail, that the driver gets."""
ABORT_S = 15.0
"""How long an engine may take to return what it has of an aborted trajectory."""


@dataclass(frozen=True, slots=True)
class WorkerStatus:
    """What a group worker does at a moment."""

    groups: int
    generating: int
    waiting: int
    """Trajectories without a slot."""
    held: int
    """Ended trajectories that nobody has dropped yet."""


@dataclass(eq=False, slots=True)
class _Generating:
    """A trajectory that an engine has under way."""

    task: asyncio.Task[Generated]
    slot: EngineSlot
    started: float
    held_s: float
    """Of the slot when it was started."""
    timer: asyncio.TimerHandle | None = None
    is_late: bool = False


@dataclass(eq=False, slots=True)
class _Group:
    request: GroupRequest
    tasks: dict[str, asyncio.Task[ScoredTrajectory | Removed]] = field(default_factory=dict)
    generating: dict[str, _Generating] = field(default_factory=dict)
    scoring: set[str] = field(default_factory=set)
    closed: str = ""
    """Why it was closed before its last trajectory ended."""
    num_retries: int = 0
    first_at: float | None = None
    generated_at: float | None = None


class _Ended(R1RayError):
    """A trajectory ended before it was finished; ``partial`` is what there is of it."""

    def __init__(self, reason: str, partial: Trajectory | None) -> None:
        super().__init__(reason)
        self.reason, self.partial = reason, partial


class GroupWorker:
    """Runs groups on the engines that it is told of."""

    def __init__(self, scorer: Scorer, *, deadline_s: float, number: int = 0) -> None:
        """
        Args:
            deadline_s: of one trajectory, from its slot on an engine to its last token.
            number: of this worker, for those who read from it.
        """
        self._scorer, self._deadline_s, self._number = scorer, deadline_s, number
        self.incarnation = uuid4().hex[:12]
        self._placement = Placement()
        self._groups: dict[str, _Group] = {}
        self._held: dict[str, Trajectory] = {}
        self._background = Background(_note_failure)

    # ------------------------------------------------------------------ for the driver

    async def run(self, request: GroupRequest) -> ScoredGroup:
        """Generate and score a group, and keep its trajectories. One that fails is left out, and counted by its reason.
        Raises GroupFailed for a prompt that no engine can take."""
        group = self._groups[request.group_id] = _Group(request)
        try:
            ended = await self._run(group)
        except BaseException:
            await self.drop(group.tasks)
            raise
        finally:
            if self._groups.get(request.group_id) is group:  # else it was issued again, which the driver may do at once
                del self._groups[request.group_id]
        now = time.monotonic()
        generated_at = group.generated_at or now
        return ScoredGroup(
            group_id=request.group_id,
            trajectories=tuple(each for each in ended if isinstance(each, ScoredTrajectory)),
            removed=tuple(each for each in ended if isinstance(each, Removed)),
            worker=self._number,
            incarnation=self.incarnation,
            generate_s=generated_at - (group.first_at or generated_at),
            reward_s=now - generated_at,
            num_retries=group.num_retries,
        )

    async def sample(self, request: GroupRequest) -> tuple[Trajectory, ...]:
        """Generate a group, and neither score nor keep it. Raises EngineLost where a trajectory failed."""
        group = self._groups[request.group_id] = _Group(request)
        try:
            async with asyncio.TaskGroup() as tasks:
                made = [tasks.create_task(self._generate(group, each)) for each in _requests(request)]
        except BaseExceptionGroup as errors:
            raise first_of(errors) from errors
        finally:
            if self._groups.get(request.group_id) is group:
                del self._groups[request.group_id]
        return tuple(task.result() for task in made)

    async def abort(self, group_id: str, reason: str) -> None:
        """Close a group with what is scored, or being scored. What else is under way ends in the engine, and is kept as
        far as it came."""
        group = self._groups.get(group_id)
        if group is None or group.closed:
            return
        group.closed = reason
        self._abort(group.generating)
        for name, task in group.tasks.items():
            if name not in group.generating and name not in group.scoring:
                task.cancel()  # it waits for a slot

    async def read(self, incarnation: str, ids: Sequence[str]) -> list[Trajectory | None]:
        """Return trajectories by id; None for one that is lost, because this worker was started again or it was
        dropped."""
        return [self._held.get(each) if incarnation == self.incarnation else None for each in ids]

    def held(self, name: str) -> Trajectory | None:
        """Return a trajectory to who shares this process."""
        return self._held.get(name)

    async def drop(self, ids: Iterable[str]) -> None:
        """Forget trajectories that nobody will read again."""
        for each in ids:
            self._held.pop(each, None)

    async def set_engines(self, states: Sequence[EngineState]) -> str:
        """Take over what the driver says of the engines. What lost ones had under way is generated again. Returns the
        incarnation."""
        lost = self._placement.update(states)
        for group in self._groups.values():
            for each in group.generating.values():
                if each.slot in lost:
                    each.task.cancel()
        return self.incarnation

    async def status(self) -> WorkerStatus:
        return WorkerStatus(
            groups=len(self._groups),
            generating=sum(len(group.generating) for group in self._groups.values()),
            waiting=self._placement.num_waiting,
            held=len(self._held),
        )

    # ------------------------------------------------------------------ a group

    async def _run(self, group: _Group) -> list[ScoredTrajectory | Removed]:
        request = group.request
        for each in _requests(request):
            group.tasks[each.id] = asyncio.create_task(self._trajectory(group, each))
        try:
            if request.min_group_size is None or request.min_group_size >= request.group_size:
                return await asyncio.gather(*group.tasks.values())
            num_scored = 0
            for task in asyncio.as_completed(group.tasks.values()):
                num_scored += isinstance(await task, ScoredTrajectory)
                if num_scored == request.min_group_size:
                    await self.abort(request.group_id, "enough")
            return [task.result() for task in group.tasks.values()]
        finally:
            for task in group.tasks.values():
                task.cancel()

    async def _trajectory(self, group: _Group, request: TrajectoryRequest) -> ScoredTrajectory | Removed:
        try:
            trajectory = await self._generate(group, request)
        except asyncio.CancelledError:
            if not group.closed:
                raise
            return Removed(index=request.index, reason=group.closed, num_policy_tokens=0)
        except EngineLost:
            return Removed(index=request.index, reason="engine_lost", num_policy_tokens=0)
        except _Ended as error:
            if error.partial is not None:
                self._held[request.id] = error.partial
            num_tokens = error.partial.num_policy_tokens if error.partial is not None else 0
            return Removed(index=request.index, reason=error.reason, num_policy_tokens=num_tokens)
        group.scoring.add(request.id)
        scored = await self._scorer.score(request.prompt, trajectory)  # r_i
        self._held[request.id] = trajectory
        return scored if request.is_eval else _short(scored)

    # ------------------------------------------------------------------ a trajectory

    async def _generate(self, group: _Group, request: TrajectoryRequest) -> Trajectory:
        """Generate one, on another engine where one is lost; one that is late goes on there from where it stood. Raises
        EngineLost or _Ended after ``MAX_ATTEMPTS``, and _Ended where its group was closed."""
        for attempt in range(1, MAX_ATTEMPTS + 1):
            slot = await self._placement.acquire(is_eval=request.is_eval)
            try:
                return await self._attempt(group, request, slot)  # o_i ~ pi_old(. | q)
            except (EngineLost, _Ended) as error:
                if attempt == MAX_ATTEMPTS or group.closed:
                    raise
                group.num_retries += 1
                if isinstance(error, _Ended):
                    request = replace(request, begun=error.partial)
                logger.debug("%s: %s; it is generated again (%d)", request.id, error, attempt)
        raise AssertionError

    async def _attempt(self, group: _Group, request: TrajectoryRequest, slot: EngineSlot) -> Trajectory:
        loop = asyncio.get_running_loop()
        failed_rounds, generated = slot.state.failed_rounds, None
        task = asyncio.ensure_future(slot.state.engine.generate(request))
        current = _Generating(task, slot, loop.time(), slot.total_held_s(loop.time()))
        current.timer = loop.call_later(self._deadline_s, self._expire, current, request.id)
        group.generating[request.id] = current
        group.first_at = group.first_at or time.monotonic()
        try:
            generated = await task
        except asyncio.CancelledError:
            if (here := asyncio.current_task()) is not None and here.cancelling():  # nobody wants it any more
                self._background.start(slot.state.engine.abort([request.id]))
                raise
            if slot.is_lost:
                raise EngineLost(f"{slot.state.name} is lost") from None
        finally:
            current.timer.cancel()
            del group.generating[request.id]
            of_engine = (generated.kv_tokens, generated.trajectory.num_row_tokens) if generated else (None, None)
            self._placement.release(slot, kv_tokens=of_engine[0], row_tokens=of_engine[1])
        await slot.verified(failed_rounds)
        group.generated_at = time.monotonic()
        if generated is None or generated.trajectory.status == "aborted":
            reason = group.closed if group.closed and not current.is_late else "late"
            raise _Ended(reason, generated.trajectory if generated is not None else None)
        return generated.trajectory

    def _expire(self, current: _Generating, name: str) -> None:
        """Abort a trajectory whose deadline has passed. Its clock stands still while its engine is held."""
        loop = asyncio.get_running_loop()
        now = loop.time()
        used = now - current.started - (current.slot.total_held_s(now) - current.held_s)
        if used < self._deadline_s:
            current.timer = loop.call_later(self._deadline_s - used, self._expire, current, name)
            return
        current.is_late = True
        self._abort({name: current})

    def _abort(self, generating: Mapping[str, _Generating]) -> None:
        """End trajectories in their engines, whose pending calls then return what there is; those of an engine that
        does not answer are given up."""
        by_slot: dict[EngineSlot, list[str]] = {}
        for name, each in generating.items():
            by_slot.setdefault(each.slot, []).append(name)
            asyncio.get_running_loop().call_later(ABORT_S, each.task.cancel)
        for slot, names in by_slot.items():
            self._background.start(slot.state.engine.abort(names))


def _note_failure(error: BaseException) -> None:
    logger.warning("an engine did not take an abort: %s", error)


def _short(scored: ScoredTrajectory) -> ScoredTrajectory:
    """Return it with long texts cut (a program that was found, a compiler's message): they would pass through the
    driver. What the policy wrote the rollout log has in full."""
    outcome = scored.outcome
    if isinstance(outcome, Scored) and len(outcome.detail) > MAX_TEXT:
        scored = replace(scored, outcome=replace(outcome, detail=outcome.detail[:MAX_TEXT]))
    if scored.extracted is not None and len(scored.extracted) > MAX_TEXT:
        scored = replace(scored, extracted=scored.extracted[:MAX_TEXT])
    return scored


def _requests(request: GroupRequest) -> list[TrajectoryRequest]:
    return [
        TrajectoryRequest(
            group_id=request.group_id,
            index=index,
            prompt=request.prompt,
            sampling=request.sampling,
            seed=request.seed + index,
            is_eval=request.is_eval,
        )
        for index in range(request.group_size)
    ]
