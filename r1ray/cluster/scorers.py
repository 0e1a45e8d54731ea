"""Reward actors: the Scorer role over them, in a group worker, and who replaces them, in the driver.

ScorerPool --report(index, actor)--> driver: RewardWorkers.replace --> ScorerPool.update of every group worker
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Sequence
from typing import Any, cast

from ray.exceptions import RayActorError, RayError

from r1ray.cluster.host import Handle
from r1ray.errors import DeadlineExceeded, InfrastructureError
from r1ray.types import Prompt, ScoredTrajectory, ScoringFailed, Trajectory

logger = logging.getLogger(__name__)
MAX_SCORING_ATTEMPTS = 3
PATIENCE = 10
"""A trajectory waits at most so many deadlines, however busy its actor is with others."""


class RewardWorkers:
    """The reward actors of a run, and their replacement, whichever group workers ask them."""

    def __init__(self, actors: Sequence[Handle], spawn: Callable[[int], Handle]) -> None:
        """``spawn(index)`` starts another actor in the place of that one."""
        self.actors, self._spawn = list(actors), spawn
        self._when_replaced: list[Callable[[], object]] = []

    def when_replaced(self, callback: Callable[[], object]) -> None:
        """Have ``callback`` called whenever :attr:`actors` has changed."""
        self._when_replaced.append(callback)

    def replace(self, index: int, actor: Handle) -> None:
        """Start another actor in the place of one that is reported; once, however many report it."""
        if self.actors[index] != actor:
            return
        logger.warning("reward worker %d died, or answers no more; it is replaced", index)
        actor.kill()
        self.actors[index] = self._spawn(index)
        for callback in self._when_replaced:
            callback()


class ScorerPool:
    """The Scorer role over reward actors. Who owns them replaces those that are reported, and tells of the new ones by
    :meth:`update`; until then nothing is sent in their place."""

    def __init__(
        self, actors: Sequence[Handle], report: Callable[[int, Handle], None], *, deadline_s: float, max_in_flight: int
    ) -> None:
        """
        Args:
            report: is told of an actor that died, or has gone quiet.
            deadline_s: how long an actor that has trajectories may answer nothing at all. (A trajectory may wait longer
                for its turn behind slow ones; each part of the reward has a deadline of its own.)
            max_in_flight: trajectories that one actor holds at a time; others wait here, where no clock runs.
        """
        self.actors, self._report = list(actors), report
        self._load = [0] * len(self.actors)
        self._heard = [0.0] * len(self.actors)  # when each last answered
        self._gone: set[int] = set()  # reported, and not yet replaced
        self._replaced = asyncio.Event()
        self._deadline_s = deadline_s
        self._slots = asyncio.Semaphore(max_in_flight * len(self.actors))

    def update(self, actors: Sequence[Handle]) -> None:
        """Take over the actors that live now, as many as before."""
        self._gone -= {index for index, (old, new) in enumerate(zip(self.actors, actors, strict=True)) if old != new}
        self.actors[:] = actors
        self._replaced.set()

    async def score(self, prompt: Prompt, trajectory: Trajectory) -> ScoredTrajectory:
        """See :class:`r1ray.interfaces.Scorer`. A reward actor that fails or is late is not the model's fault: the
        trajectory goes to another one, and after ``MAX_SCORING_ATTEMPTS`` its outcome is ``ScoringFailed``. So does one
        that an actor could not score."""

        def is_scored(scored: ScoredTrajectory) -> bool:
            return not isinstance(scored.outcome, ScoringFailed)

        try:
            async with self._slots:
                answer = await self._ask("score", prompt, trajectory, is_good=is_scored)
            return cast(ScoredTrajectory, answer)
        except InfrastructureError as error:
            return ScoredTrajectory.of(trajectory, ScoringFailed(str(error)), extracted=None)

    async def classes(self, prompt: Prompt, answers: Sequence[str | None]) -> tuple[int | None, ...] | None:
        """See :class:`r1ray.interfaces.Scorer`. Raises InfrastructureError after ``MAX_SCORING_ATTEMPTS``."""
        async with self._slots:
            return cast("tuple[int | None, ...] | None", await self._ask("classes", prompt, answers))

    async def _ask(
        self, method: str, prompt: Prompt, argument: Any, *, is_good: Callable[[Any], bool] = lambda answer: True
    ) -> Any:
        """Return what one actor after the other answers until an answer is good; the last one's, good or not. Raises
        InfrastructureError if the last one gave none."""
        failure, tried = "", set[int]()
        for attempt in range(1, MAX_SCORING_ATTEMPTS + 1):
            index = await self._least_loaded(tried)
            tried.add(index)
            actor = self.actors[index]
            self._load[index] += 1
            try:
                answer = await self._answer(index, getattr(actor, method).remote(prompt, argument))
                if attempt == MAX_SCORING_ATTEMPTS or is_good(answer):
                    return answer
            except (RayActorError, DeadlineExceeded) as error:
                failure = str(error)
                self._note(index, actor)
            except RayError as error:
                failure = str(error)
            finally:
                self._load[index] -= 1
        raise InfrastructureError(failure)

    async def _least_loaded(self, tried: set[int]) -> int:
        """Return which actor to ask: one that was not asked, if any is left. Waits while none lives."""
        while not (living := [index for index in range(len(self.actors)) if index not in self._gone]):
            self._replaced.clear()
            await self._replaced.wait()
        return min([index for index in living if index not in tried] or living, key=self._load.__getitem__)

    def _note(self, index: int, actor: Handle) -> None:
        if self.actors[index] == actor and index not in self._gone:  # the first call to notice
            self._gone.add(index)
            self._report(index, actor)

    async def _answer(self, index: int, call: Any) -> Any:
        """Return what an actor answers. Raises DeadlineExceeded if it has gone quiet."""
        task = asyncio.ensure_future(call)
        started = time.monotonic()
        last = started + PATIENCE * self._deadline_s
        try:
            while True:
                due = min(last, max(started, self._heard[index]) + self._deadline_s)
                left = due - time.monotonic()
                if left <= 0:
                    raise DeadlineExceeded(
                        f"a group worker waited {time.monotonic() - started:.0f} s for reward actor {index}, which "
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
