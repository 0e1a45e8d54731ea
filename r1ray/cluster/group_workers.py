"""Group workers as the driver sees them: in its own process, or an actor on each rollout node.

driver: GroupWorkers --run(request)--> GroupHost [ GroupWorker + ScorerPool ] --> ScoredGroup, without a token
                     --set_engines, set_scorers--> what lives          <-- troubles: what died there
learner ranks, rollout log: Lent.read() --> trajectories, from the worker that holds them
"""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections import defaultdict
from collections.abc import Coroutine, Iterable, Sequence
from contextlib import suppress
from typing import Any, cast

import ray
from ray.exceptions import ActorUnavailableError, RayActorError, RayTaskError

from r1ray.cluster.environments import EnvironmentWorkers
from r1ray.cluster.group_host import GroupHost, Trouble
from r1ray.cluster.host import Handle
from r1ray.cluster.lending import Held, Remote
from r1ray.cluster.scorers import RewardWorkers
from r1ray.cluster.silence import is_silent
from r1ray.cluster.spawn import Spawner
from r1ray.config import Deadlines, RewardConfig
from r1ray.config.specs import EpisodesSpec, GroupWorkerSpec
from r1ray.errors import DeadlineExceeded, GroupLost, InfrastructureError, R1RayError
from r1ray.rollout.group_worker import WorkerStatus
from r1ray.rollout.placement import EngineState
from r1ray.runtime.background import Background
from r1ray.runtime.deadline import within
from r1ray.types import EngineTimes, GroupRequest, Prompt, ScoredGroup, ScoredTrajectory, Trajectory, group_of

logger = logging.getLogger(__name__)
TIMES_S = 10.0
"""How long an engine may take to say how it spent its time."""
RETURN_S = 0.5
"""Between two attempts to reach a worker that is started again."""
MAX_STARTS = 3
"""Starts in a row of a worker that does not answer in time."""
PING_S = 5.0
"""Between two questions whether a worker answers."""


class GroupWorkers:
    """See :class:`r1ray.interfaces.GroupRunner`: groups over one worker in this process, or over several actors."""

    def __init__(
        self,
        workers: Sequence[GroupHost | Handle],
        rewards: RewardWorkers,
        *,
        deadline_s: float,
        silent_s: float = math.inf,
        environments: EnvironmentWorkers | None = None,
    ) -> None:
        """
        Args:
            deadline_s: of a question that a worker answers at once, and of its return, or an engine's, after it died.
            silent_s: after so long without an answer a worker is lost.
            environments: None: no prompt has an environment.
        """
        self._workers, self._rewards = list(workers), rewards
        self._deadline_s, self._silent_s = deadline_s, silent_s
        self._environments = environments
        self._load = [0] * len(self._workers)
        self._incarnations: list[str | None] = [None] * len(self._workers)
        self._returning: dict[int, asyncio.Task[None]] = {}
        self._engines: dict[str, EngineState] = {}
        self._since: dict[str, float] = {}
        """When an engine became what it is."""
        self._telling = asyncio.Lock()
        self._calls: set[asyncio.Task[Any]] = set()
        self._failure: BaseException | None = None
        self._background = Background(self.fail)
        for index, worker in enumerate(self._workers):
            self._background.start(self._heed(index))
            if isinstance(worker, Handle):
                self._background.start(self._lose_when_silent(worker, index, silent_s))
        rewards.when_replaced(lambda: self._background.start(self._tell_all("set_scorers")))
        if environments is not None:
            environments.when_replaced(lambda: self._background.start(self._tell_all("set_environments")))
            environments.when_failed(self.fail)

    # ------------------------------------------------------------------ groups

    async def run(self, request: GroupRequest) -> ScoredGroup:
        """See :class:`r1ray.interfaces.GroupRunner`."""
        return cast(ScoredGroup, await self._on_one("run", request))

    async def sample(self, request: GroupRequest) -> tuple[Trajectory, ...]:
        return cast("tuple[Trajectory, ...]", await self._on_one("sample", request))

    async def score(self, prompt: Prompt, trajectory: Trajectory) -> ScoredTrajectory:
        """Score a trajectory that no worker has run. See :class:`r1ray.interfaces.Scorer`."""
        return cast(ScoredTrajectory, await self._on_one("score", prompt, trajectory))

    async def engine_times(self) -> dict[str, EngineTimes]:
        """See :class:`r1ray.interfaces.GroupRunner`. An engine that does not answer at once is left out."""

        async def ask(state: EngineState) -> EngineTimes | None:
            try:
                return await asyncio.wait_for(state.engine.times(), TIMES_S)
            except (R1RayError, TimeoutError):
                return None

        living = [state for state in self._engines.values() if state.state != "lost"]
        answers = await asyncio.gather(*map(ask, living))
        named = [f"{state.name.replace(' ', '_')}.{state.incarnation}" for state in living]
        return {name: times for name, times in zip(named, answers, strict=True) if times is not None}

    def is_recovering(self) -> bool:
        """See :class:`r1ray.interfaces.GroupRunner`. An engine that cannot be had for long is not waited for."""
        not_serving = [name for name, state in self._engines.items() if state.state != "serving"]
        return any(time.monotonic() - self._since[name] < self._deadline_s for name in not_serving)

    async def abort(self, group_id: str, reason: str) -> None:
        await asyncio.gather(*(self._ask(index, "abort", group_id, reason) for index in self._living))

    async def classes(self, prompt: Prompt, answers: Sequence[str | None]) -> tuple[int | None, ...] | None:
        """See :class:`r1ray.interfaces.Scorer`."""
        return cast("tuple[int | None, ...] | None", await self._on_one("classes", prompt, answers))

    def is_held(self, group: ScoredGroup) -> bool:
        """Return whether the worker that ran a group still has its trajectories, as far as is known."""
        return self._incarnations[group.worker] == group.incarnation

    async def read(self, groups: Sequence[ScoredGroup]) -> dict[str, Trajectory]:
        """Return the trajectories of groups, by id; what a worker took with it is left out."""
        lent = self.lend(groups)
        return dict(await asyncio.to_thread(lent.read)) if isinstance(lent, Remote) else dict(lent.read())

    def lend(
        self, groups: Iterable[ScoredGroup], ids: Iterable[str] | None = None, *, within_s: float = math.inf
    ) -> Held | Remote:
        """Return what another process reads trajectories of groups by.

        Args:
            ids: some of them alone.
            within_s: how long the reader can wait; no longer than until a worker counts as lost.
        """
        by_id = {group.group_id: group for group in groups}
        wanted: dict[tuple[int, str], list[str]] = defaultdict(list)
        for name in (each for group in by_id.values() for each in group.ids) if ids is None else ids:
            group = by_id[group_of(name)]
            wanted[group.worker, group.incarnation].append(name)
        if isinstance(local := self._workers[0], GroupHost):
            held = {name: each for names in wanted.values() for name in names if (each := local.held(name))}
            return Held(held)
        calls = [(cast(Handle, self._workers[w]), incarnation, names) for (w, incarnation), names in wanted.items()]
        return Remote(calls, min(within_s, self._silent_s, self._deadline_s))

    async def drop(self, groups: Iterable[ScoredGroup]) -> None:
        """Let the workers forget the trajectories of groups."""
        by_worker: dict[int, list[str]] = defaultdict(list)
        for group in groups:
            if self.is_held(group):
                by_worker[group.worker] += group.ids
        await asyncio.gather(*(self._ask(index, "drop", ids) for index, ids in by_worker.items()))

    async def status(self) -> list[WorkerStatus | None]:
        """Return what each worker does; None for one that is being started again."""
        answers = await asyncio.gather(*(self._ask(index, "status") for index in range(len(self._workers))))
        return cast("list[WorkerStatus | None]", answers)

    # ------------------------------------------------------------------ what lives

    def share_of(self, num_slots: int) -> int:
        """Return each worker's share of an engine's slots."""
        return math.ceil(num_slots / len(self._workers))

    async def set_engines(self, states: Sequence[EngineState]) -> None:
        """Tell every worker of engines; return once all that live know."""
        for state in states:
            before = self._engines.get(state.name)
            if before is None or (before.state, before.incarnation) != (state.state, state.incarnation):
                self._since[state.name] = time.monotonic()
            self._engines[state.name] = state
        await self._tell_all("set_engines")

    def fail(self, error: BaseException) -> None:
        """End every call that is under way, and refuse others, with an error of what runs beside them: a run does not
        wait for what will not come."""
        self._failure = self._failure or error
        for call in self._calls:
            call.cancel()

    def close(self) -> None:
        """Heed no troubles any more: all actors are about to end."""
        self._background.close()

    @property
    def _living(self) -> list[int]:
        return [index for index in range(len(self._workers)) if index not in self._returning]

    async def _tell_all(self, method: str) -> None:
        async with self._telling:  # what is told later arrives later
            await asyncio.gather(*(self._tell(index, method) for index in self._living))

    async def _tell(self, index: int, method: str) -> None:
        """Tell a worker what lives now."""
        if method == "set_scorers":
            await self._ask(index, method, self._rewards.actors)
        elif method == "set_environments":
            await self._ask(index, method, self._environments.actors if self._environments else ())
        elif (incarnation := await self._ask(index, method, list(self._engines.values()))) is not None:
            self._incarnations[index] = incarnation

    async def _heed(self, index: int) -> None:
        """Have the reward actors replaced that a worker finds dead."""
        while True:
            try:
                troubles: list[Trouble] = await self._call(index, "troubles")
            except RayActorError:
                self._note_death(index)
                await asyncio.wait({self._returning[index]})
                if index in self._returning:
                    return  # it does not come back, which ends the run
                continue
            for trouble in troubles:
                self._rewards.replace(trouble.scorer, trouble.actor)

    async def _lose_when_silent(self, worker: Handle, index: int, silent_s: float) -> None:
        """Have a worker started again that answers nothing: its process was stopped, or hangs. One that starts has the
        time of a start."""
        with suppress(DeadlineExceeded, RayActorError):
            await self._soon(index, self._first_answer(index))
        while True:
            try:
                if await is_silent(lambda: self._call(index, "status"), silent_s=silent_s):
                    logger.warning("group worker %d has not answered for %g s (rollout.silent_s)", index, silent_s)
                    await asyncio.to_thread(worker.start_again)
                    self._note_death(index)
            except RayActorError:
                self._note_death(index)
            if index in self._returning:
                await asyncio.wait({self._returning[index]})
            await asyncio.sleep(PING_S)

    # ------------------------------------------------------------------ calls

    async def _on_one(self, method: str, *arguments: Any) -> Any:
        """Call the worker that has least to do; another one if it dies, but for a group, which is booked: then
        GroupLost is raised. Raises what the method raises."""
        while True:
            index = await self._least_loaded()
            self._load[index] += 1
            try:
                return await self._followed(self._call(index, method, *arguments))
            except RayActorError as error:
                self._note_death(index)
                if method == "run":
                    raise GroupLost((arguments[0].group_id,)) from error
            finally:
                self._load[index] -= 1

    async def _least_loaded(self) -> int:
        while not (living := self._living):
            await asyncio.wait(self._returning.values(), return_when=asyncio.FIRST_COMPLETED)
            self._raise_failure()
        return min(living, key=self._load.__getitem__)

    async def _followed(self, work: Coroutine[Any, Any, Any]) -> Any:
        """Return what a call returns; it ends with :meth:`fail`."""
        call = asyncio.create_task(work)
        self._calls.add(call)
        try:
            self._raise_failure()
            return await call
        except asyncio.CancelledError:
            self._raise_failure()
            raise
        finally:
            call.cancel()
            self._calls.discard(call)

    def _raise_failure(self) -> None:
        if self._failure is not None:
            raise self._failure

    async def _ask(self, index: int, method: str, *arguments: Any) -> Any:
        """Call a method that answers at once; None where the worker died."""
        try:
            return await self._soon(index, self._call(index, method, *arguments))
        except RayActorError:
            self._note_death(index)
            return None

    async def _soon(self, index: int, answer: Coroutine[Any, Any, Any]) -> Any:
        return await within(
            self._deadline_s,
            answer,
            waiter="the driver",
            owner=f"group worker {index}",
            key="deadlines.start_s",
        )

    async def _call(self, index: int, method: str, *arguments: Any) -> Any:
        worker = self._workers[index]
        if isinstance(worker, GroupHost):
            return await getattr(worker, method)(*arguments)
        try:
            return await getattr(worker, method).remote(*arguments)
        except RayTaskError as error:
            if isinstance(error.cause, R1RayError):
                raise error.cause from error
            raise InfrastructureError(str(error)) from error

    def _note_death(self, index: int) -> None:
        """Ray starts the worker again; until it answers, groups go to others. What it held is lost."""
        if index not in self._returning:
            logger.warning("group worker %d is lost; its groups are issued again", index)
            self._incarnations[index] = None
            self._returning[index] = self._background.start(self._await_return(index))

    async def _await_return(self, index: int) -> None:
        num_starts = 1
        while True:
            try:
                await self._soon(index, self._first_answer(index))
                break
            except DeadlineExceeded as error:
                if num_starts == MAX_STARTS:
                    raise
                num_starts += 1
                logger.warning("group worker %d is started once more: %s", index, error)
                await asyncio.to_thread(cast(Handle, self._workers[index]).start_again)
            except RayActorError as error:
                raise InfrastructureError(f"group worker {index} cannot be started again: {error}") from error
        async with self._telling:
            del self._returning[index]
            for method in ("set_scorers", "set_environments", "set_engines"):
                await self._tell(index, method)

    async def _first_answer(self, index: int) -> None:
        """Wait until a worker answers. Each call fails at once for as long as it is being started."""
        while True:
            try:
                await self._call(index, "status")
                return
            except ActorUnavailableError:
                await asyncio.sleep(RETURN_S)


async def start_group_workers(
    spawner: Spawner,
    rewards: RewardWorkers,
    *,
    num_workers: int | None,
    reward: RewardConfig,
    deadlines: Deadlines,
    silent_s: float = math.inf,
    environments: EnvironmentWorkers | None = None,
    episodes: EpisodesSpec | None = None,
) -> GroupWorkers:
    """Start group workers, on the nodes of rollout engines in turn.

    Args:
        num_workers: 0: one in this process. None: one a rollout node, and in this process if that is this node alone.
        silent_s: as of :class:`GroupWorkers`; one in this process answers whenever this process does.
        environments: as of :class:`GroupWorkers`.
        episodes: what trajectories in environments need.
    """
    nodes = spawner.placement.nodes("rollout") or [ray.get_runtime_context().get_node_id()]
    if num_workers is None:
        num_workers = 0 if nodes == [ray.get_runtime_context().get_node_id()] else len(nodes)

    def spec(number: int) -> GroupWorkerSpec:
        return GroupWorkerSpec(
            number=number,
            generate_s=deadlines.generate_s,
            score_s=deadlines.score_s,
            scores_in_flight=math.ceil(reward.max_in_flight / max(1, num_workers or 1)),
            suspects=reward.suspects(),
            episodes=episodes,
        )

    worlds = environments.actors if environments else []
    workers: list[GroupHost | Handle] = [
        spawner.group_worker(nodes[number % len(nodes)], rewards.actors, spec(number), worlds)
        for number in range(num_workers)
    ]
    return GroupWorkers(
        workers or [GroupHost(rewards.actors, spec(0), worlds)],
        rewards,
        deadline_s=deadlines.start_s,
        silent_s=silent_s,
        environments=environments,
    )
