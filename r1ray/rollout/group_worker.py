"""A group worker: runs groups from their request to their last reward, and keeps their trajectories.

    run(request) --> G x [ turn, or turns in a world --> score --> held ] --> ScoredGroup
    read(ids) <-- learner ranks, rollout log          drop(ids) <-- driver, once a step

The driver gets one message a group, without a token in it. A trajectory is generated, retried and aborted alone. A
plain class: in the driver's process on one machine, an actor on each rollout node of a cluster.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from uuid import uuid4

from r1ray.errors import EngineLost, EnvironmentFailed, EnvironmentLost, PartFailure, first_of
from r1ray.interfaces import Scorer
from r1ray.rollout.agent_episode import AgentEpisode
from r1ray.rollout.engine import TrajectoryRequest
from r1ray.rollout.episode import Episode, Episodes
from r1ray.rollout.placement import EngineState, Placement
from r1ray.rollout.turn_sampler import Ended, GroupTurns, TurnSampler
from r1ray.types import GroupRequest, Prompt, Removed, Scored, ScoredGroup, ScoredTrajectory, Trajectory

logger = logging.getLogger(__name__)
MAX_TEXT, MAX_TRACEBACK = 400, 4000
"""Characters of an extracted answer, and of a detail, that the driver gets; and of a traceback."""


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
class _Group:
    request: GroupRequest
    turns: GroupTurns = field(default_factory=GroupTurns)
    tasks: dict[str, asyncio.Task[ScoredTrajectory | Removed]] = field(default_factory=dict)
    episodes: dict[str, Episode | AgentEpisode] = field(default_factory=dict)
    """Episodes by the ids of trajectories with an environment."""
    scoring: set[str] = field(default_factory=set)


class GroupWorker:
    """Runs groups on the engines that it is told of."""

    def __init__(self, scorer: Scorer, *, deadline_s: float, number: int = 0, episodes: Episodes | None = None) -> None:
        """
        Args:
            deadline_s: of one trajectory: what its turns take, each from its slot on an engine to its last token.
            number: of this worker, for those who read from it.
            episodes: plays trajectories whose prompts have an environment; None: no prompt has one.
        """
        self._scorer, self._number, self._episodes = scorer, number, episodes
        self.incarnation = uuid4().hex[:12]
        self._placement = Placement()
        self._sampler = TurnSampler(self._placement, deadline_s=deadline_s)
        self._groups: dict[str, _Group] = {}
        self._held: dict[str, Trajectory] = {}

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
        turns, generated_at = group.turns, group.turns.generated_at or now
        return ScoredGroup(
            group_id=request.group_id,
            trajectories=tuple(each for each in ended if isinstance(each, ScoredTrajectory)),
            removed=tuple(each for each in ended if isinstance(each, Removed)),
            worker=self._number,
            incarnation=self.incarnation,
            generate_s=generated_at - (turns.first_at or generated_at),
            reward_s=now - generated_at,
            num_retries=turns.num_retries,
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
        if group is None or group.turns.closed:
            return
        group.turns.closed = reason
        self._sampler.abort(group.turns.generating)
        for name, task in group.tasks.items():
            if name not in group.turns.generating and name not in group.scoring:
                task.cancel()  # it waits for a slot, or for its world

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
            for each in group.turns.generating.values():
                if each.slot in lost:
                    each.task.cancel()
        return self.incarnation

    async def status(self) -> WorkerStatus:
        return WorkerStatus(
            groups=len(self._groups),
            generating=sum(len(group.turns.generating) for group in self._groups.values()),
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
            if not group.turns.closed:
                raise
            return self._removed(group, request, group.turns.closed)
        except EngineLost:
            return self._removed(group, request, "engine_lost")
        except EnvironmentLost as error:
            logger.warning("%s is left out: %s", request.id, error)
            return self._removed(group, request, "environment_lost")
        except EnvironmentFailed as error:
            return replace(
                self._removed(group, request, "environment_failed"), failure=_failure_of(error, request.prompt)
            )
        except Ended as error:
            return self._removed(group, request, error.reason, error)
        group.scoring.add(request.id)
        scored = await self._scorer.score(request.prompt, trajectory)  # r_i
        self._held[request.id] = replace(trajectory, domain=request.prompt.domain)
        return scored if request.is_eval else _short(scored)

    # ------------------------------------------------------------------ a trajectory

    async def _generate(self, group: _Group, request: TrajectoryRequest) -> Trajectory:
        """Generate one, turn by turn in its world if its prompt has an environment; else it is one turn. Raises what
        :meth:`Episodes.play` and :meth:`TurnSampler.sample` do."""
        if not request.prompt.environment:
            return await self._sampler.sample(group.turns, request)
        assert self._episodes is not None, f"prompt {request.prompt.id} has an environment, and nobody plays it"

        def begun(episode: Episode | AgentEpisode) -> None:
            group.turns.num_retries += request.id in group.episodes
            group.episodes[request.id] = episode

        sample, end = partial(self._sampler.sample, group.turns), partial(self._sampler.end, group.turns)
        trajectory = await self._episodes.play(request, sample, begun=begun, end=end)
        del group.episodes[request.id]  # all that it knows is in the trajectory
        return trajectory

    def _removed(self, group: _Group, request: TrajectoryRequest, reason: str, ended: Ended | None = None) -> Removed:
        """Keep a trajectory as far as it came, and return what the driver is told of it."""
        found = ended.partial if ended is not None else None
        if (episode := group.episodes.get(request.id)) is not None:
            found = episode.so_far(found)
        if found is not None:
            self._held[request.id] = found
        num_tokens = found.num_policy_tokens if found is not None else 0
        return Removed(index=request.index, reason=reason, num_policy_tokens=num_tokens)


def _short(scored: ScoredTrajectory) -> ScoredTrajectory:
    """Return it with long texts cut (a program that was found, a compiler's message): they would pass through the
    driver. What the policy wrote the rollout log has in full."""
    outcome = scored.outcome
    if isinstance(outcome, Scored) and len(outcome.detail) > MAX_TEXT:
        scored = replace(scored, outcome=replace(outcome, detail=outcome.detail[:MAX_TEXT]))
    if scored.extracted is not None and len(scored.extracted) > MAX_TEXT:
        scored = replace(scored, extracted=scored.extracted[:MAX_TEXT])
    return scored


def _failure_of(error: EnvironmentFailed, prompt: Prompt) -> PartFailure:
    return PartFailure(
        part=prompt.environment,
        kind=error.kind,
        message=error.message.removeprefix(f"environment {prompt.environment}: ")[:MAX_TEXT],
        response="",
        traceback=error.traceback[-MAX_TRACEBACK:],
        on_error="mask",
        of="environment",
    )


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
