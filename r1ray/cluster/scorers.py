"""The Scorer role over reward actors: least-loaded routing, retries, and the replacement of those that went quiet."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from typing import Any, cast

from ray.exceptions import RayActorError, RayError

from r1ray.cluster.host import Handle, Ref
from r1ray.errors import DeadlineExceeded, EngineLost, InfrastructureError
from r1ray.runtime.deadline import within
from r1ray.types import Prompt, ScoredTrajectory, ScoringFailed

MAX_SCORING_ATTEMPTS = 3
PATIENCE = 10
"""A chunk waits at most so many deadlines, however busy its actor is with others."""


class ScorerPool:
    """The Scorer role over reward actors."""

    def __init__(
        self, actors: Sequence[Handle], spawn: Callable[[int], Handle], *, deadline_s: float, max_in_flight: int
    ) -> None:
        """
        Args:
            spawn: ``spawn(index)`` starts another actor in the place of that one.
            deadline_s: how long an actor that has chunks may answer nothing at all. (A chunk may wait longer for its
                turn behind slow ones; each part of the reward has a deadline of its own.)
            max_in_flight: chunks that one actor holds at a time; others wait here, where no clock runs.
        """
        self.actors, self._spawn = list(actors), spawn
        self._load = [0] * len(self.actors)
        self._heard = [0.0] * len(self.actors)  # when each last answered
        self._deadline_s = deadline_s
        self._slots = asyncio.Semaphore(max_in_flight * len(self.actors))

    async def score(self, prompt: Prompt, chunk: Ref) -> tuple[ScoredTrajectory, ...]:
        """See :class:`r1ray.interfaces.Scorer`. A reward actor that fails or is late is not the model's fault: it is
        replaced, the chunk goes to another one, and after ``MAX_SCORING_ATTEMPTS`` its trajectories are
        ``ScoringFailed``. So does a chunk of which an actor could not score a trajectory."""

        def is_whole(scored: tuple[ScoredTrajectory, ...]) -> bool:
            return not any(isinstance(each.outcome, ScoringFailed) for each in scored)

        async with self._slots:
            try:
                return cast("tuple[ScoredTrajectory, ...]", await self._ask("score", prompt, chunk, is_good=is_whole))
            except InfrastructureError as error:
                failure = str(error)
            try:
                unscored = await within(
                    self._deadline_s,
                    chunk,
                    waiter="the controller",
                    owner="a group's trajectories",
                    key="deadlines.score_s",
                )
            except RayError as error:  # they went down with their node
                raise EngineLost(f"the trajectories of a group are gone: {error}") from error
        return tuple(ScoredTrajectory.of(each, ScoringFailed(failure), extracted=None) for each in unscored)

    async def classes(self, prompt: Prompt, answers: Sequence[str | None]) -> tuple[int | None, ...] | None:
        """See :class:`r1ray.interfaces.Scorer`. Raises InfrastructureError after ``MAX_SCORING_ATTEMPTS``."""
        async with self._slots:
            return cast("tuple[int | None, ...] | None", await self._ask("classes", prompt, answers))

    async def _ask(
        self, method: str, prompt: Prompt, argument: Any, *, is_good: Callable[[Any], bool] = lambda answer: True
    ) -> Any:
        """What one actor after the other answers until an answer is good; the last one's, good or not. Raises
        InfrastructureError where the last one gave none."""
        failure, tried = "", set[int]()
        for attempt in range(1, MAX_SCORING_ATTEMPTS + 1):
            untried = [i for i in range(len(self.actors)) if i not in tried] or range(len(self.actors))
            index = min(untried, key=self._load.__getitem__)
            tried.add(index)
            actor = self.actors[index]
            self._load[index] += 1
            try:
                answer = await self._answer(index, getattr(actor, method).remote(prompt, argument))
                if attempt == MAX_SCORING_ATTEMPTS or is_good(answer):
                    return answer
            except (RayActorError, DeadlineExceeded) as error:
                failure = str(error)
                self._replace(index, actor)
            except RayError as error:
                failure = str(error)
            finally:
                self._load[index] -= 1
        raise InfrastructureError(failure)

    async def _answer(self, index: int, call: Any) -> Any:
        """What an actor answers. Raises DeadlineExceeded where it has gone quiet."""
        task = asyncio.ensure_future(call)
        started = time.monotonic()
        last = started + PATIENCE * self._deadline_s
        try:
            while True:
                due = min(last, max(started, self._heard[index]) + self._deadline_s)
                left = due - time.monotonic()
                if left <= 0:
                    raise DeadlineExceeded(
                        f"the controller waited {time.monotonic() - started:.0f} s for reward actor {index}, which "
                        f"answered nothing for {self._deadline_s:g} s. If rewards are that slow here, raise "
                        "deadlines.score_s; otherwise look at the actor's log."
                    )
                await asyncio.wait({task}, timeout=left)
                if task.done():
                    answer = await task
                    self._heard[index] = time.monotonic()
                    return answer
        finally:
            task.cancel()

    def _replace(self, index: int, actor: Handle) -> None:
        """Another actor in the place of one that died or hangs; once, however many calls notice."""
        if self.actors[index] is actor:
            actor.kill()
            self.actors[index] = self._spawn(index)
