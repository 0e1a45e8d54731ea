"""Models that answer reward actors: judges and reward models, over several like actors each."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any, cast

import ray
from ray.exceptions import RayActorError

from r1ray.cluster.host import Handle, cause_of
from r1ray.config import JudgeConfig
from r1ray.errors import DeadlineExceeded, EngineLost, InfrastructureError
from r1ray.runtime.deadline import within


class ActorPool:
    """Calls to the one of several like actors that has least to do. Ray starts one that dies again; meanwhile its call
    goes to another, ``MAX_ATTEMPTS`` times in all. It may be passed on to other actors: each then counts by itself."""

    MAX_ATTEMPTS = 4
    RESTART_S = 5.0
    """How long an actor gets to come back before the next attempt, times the number of the attempt."""

    def __init__(self, actors: Sequence[Handle], *, deadline_s: float, what: str, key: str) -> None:
        """``what`` and ``key`` are of the deadline's message: whom was waited for, and which key says how long."""
        self.actors, self._deadline_s, self._what, self._key = list(actors), deadline_s, what, key
        self._load = [0] * len(self.actors)

    async def call(self, method: str, *arguments: Any) -> Any:
        """Raises what the method raises, DeadlineExceeded, and InfrastructureError where no actor lives."""
        failure = ""
        for attempt in range(1, self.MAX_ATTEMPTS + 1):
            index = min(range(len(self.actors)), key=self._load.__getitem__)
            actor = self.actors[index]
            self._load[index] += 1
            try:
                return await within(
                    self._deadline_s,
                    getattr(actor, method).remote(*arguments),
                    waiter="a caller",
                    owner=f"{self._what} {index}",
                    key=self._key,
                )
            except EngineLost as error:
                failure = str(error)
                ray.kill(actor.actor, no_restart=False)
            except RayActorError as error:
                failure = cause_of(error)
            finally:
                self._load[index] -= 1
            await asyncio.sleep(self.RESTART_S * attempt)
        raise InfrastructureError(f"{self._what}: no answer in {self.MAX_ATTEMPTS} attempts: {failure}")


class JudgePool(ActorPool):
    """A :class:`r1ray.reward.judged.Judge` over judge actors."""

    def __init__(self, actors: Sequence[Handle], config: JudgeConfig) -> None:
        super().__init__(actors, deadline_s=config.deadline_s, what="judge", key="judge.deadline_s")
        self._slots = asyncio.Semaphore(config.max_in_flight)

    async def ask(self, prompt: str, schema: Mapping[str, object]) -> Mapping[str, object]:
        try:
            async with self._slots:  # the clock starts with the question
                return cast("Mapping[str, object]", await self.call("ask", prompt, schema))
        except DeadlineExceeded as error:  # the caller is not stuck: it need not be replaced
            raise InfrastructureError(str(error)) from error


class RewardModelPool(ActorPool):
    """A reward model over actors: see :class:`r1ray.reward.model.RewardModel`."""

    def __init__(
        self,
        actors: Sequence[Handle],
        *,
        deadline_s: float,
        what: str = "reward model",
        key: str = "deadlines.score_s",
    ) -> None:
        super().__init__(actors, deadline_s=deadline_s, what=what, key=key)

    async def score(self, texts: Sequence[tuple[str, str]]) -> list[float]:
        return cast("list[float]", await self.call("score", texts))

    async def step_scores(self, prompt: str, steps: Sequence[str]) -> list[float]:
        return cast("list[float]", await self.call("step_scores", prompt, steps))

    async def value(self, prompt: str, text: str) -> float:
        return float(await self.call("value", prompt, text))
