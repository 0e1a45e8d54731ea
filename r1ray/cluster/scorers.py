"""Reward actors: the Scorer role over them, in a group worker, and who replaces them, in the driver.

ScorerPool --report(index, actor)--> driver: RewardWorkers.replace --> ScorerPool.update of every group worker
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any, cast

from ray.exceptions import RayActorError, RayError, RayTaskError

from r1ray.cluster.host import Handle
from r1ray.errors import DeadlineExceeded, InfrastructureError, PartFailure, PartStuck
from r1ray.reward.own_result import MAX_RESPONSE, shortened
from r1ray.types import Prompt, ScoredTrajectory, ScoringFailed, Trajectory

logger = logging.getLogger(__name__)
MAX_SCORING_ATTEMPTS = 3
RETRY_S = 1.0
"""Before the second attempt; the third comes after twice as long. A service may be there again by then."""
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
        self,
        actors: Sequence[Handle],
        report: Callable[[int, Handle], None],
        *,
        deadline_s: float,
        max_in_flight: int,
        suspects: Mapping[str, str] | None = None,
    ) -> None:
        """
        Args:
            report: is told of an actor that died, or has gone quiet.
            deadline_s: how long an actor that has trajectories may answer nothing at all. (A trajectory may wait longer
                for its turn behind slow ones; each part of the reward has a deadline of its own.)
            max_in_flight: trajectories that one actor holds at a time; others wait here, where no clock runs.
            suspects: the parts of the reward that may end an actor, with what is to become of it then: see
                :meth:`r1ray.config.RewardConfig.suspects`.
        """
        self.actors, self._report = list(actors), report
        self._load, self._begun = [0] * len(self.actors), [0] * len(self.actors)
        self._heard = [0.0] * len(self.actors)  # when each last answered
        self._gone: set[int] = set()  # reported, and not yet replaced
        self._lonely: set[int] = set()  # kept for one trajectory each
        self._suspects = suspects or {}
        self._changed = asyncio.Event()
        self._deadline_s = deadline_s
        self._slots = asyncio.Semaphore(max_in_flight * len(self.actors))

    def update(self, actors: Sequence[Handle]) -> None:
        """Take over the actors that live now, as many as before."""
        self._gone -= {index for index, (old, new) in enumerate(zip(self.actors, actors, strict=True)) if old != new}
        self.actors[:] = actors
        self._changed.set()

    async def score(self, prompt: Prompt, trajectory: Trajectory) -> ScoredTrajectory:
        """See :class:`r1ray.interfaces.Scorer`. A reward actor that fails or is late is not the model's fault: the
        trajectory goes to another one, and after ``MAX_SCORING_ATTEMPTS`` its outcome is ``ScoringFailed``. So does one
        that an actor could not score. One that ends its actors by itself is given up, and says so."""

        def is_final(scored: ScoredTrajectory) -> bool:
            return not isinstance(scored.outcome, ScoringFailed) or bool(scored.outcome.failures)

        try:
            async with self._slots:
                answer = await self._ask("score", prompt, trajectory, is_good=is_final)
            return cast(ScoredTrajectory, answer)
        except _EndsActors as error:
            outcome = ScoringFailed(str(error), self._failures(trajectory, error))
        except InfrastructureError as error:
            outcome = ScoringFailed(str(error))
        return ScoredTrajectory.of(trajectory, outcome, extracted=None)

    def _failures(self, trajectory: Trajectory, error: _EndsActors) -> tuple[PartFailure, ...]:
        """Return a failure of each part that may have ended the actors."""
        return tuple(
            PartFailure(
                part=part,
                kind="did not return" if error.is_stuck else "ended its process",
                message=str(error),
                response=shortened(trajectory.text, MAX_RESPONSE),
                on_error=on_error,
                ended_worker=True,
            )
            for part, on_error in self._suspects.items()
            if error.part in ("", part)
        )

    async def classes(self, prompt: Prompt, answers: Sequence[str | None]) -> tuple[int | None, ...] | None:
        """See :class:`r1ray.interfaces.Scorer`. Raises InfrastructureError after ``MAX_SCORING_ATTEMPTS``."""
        async with self._slots:
            return cast("tuple[int | None, ...] | None", await self._ask("classes", prompt, answers))

    async def _ask(
        self, method: str, prompt: Prompt, argument: Any, *, is_good: Callable[[Any], bool] = lambda answer: True
    ) -> Any:
        """Return what one actor after the other answers until an answer is good; the last one's, good or not. Raises
        InfrastructureError if the last one gave none."""
        failure, tried, num_ended = "", set[int](), 0
        for attempt in range(1, MAX_SCORING_ATTEMPTS + 1):
            is_alone = num_ended == MAX_SCORING_ATTEMPTS - 1  # it, or one that was there each time, ends them
            async with self._place(tried, is_alone=is_alone) as index:
                tried.add(index)
                actor, was_idle, begun = self.actors[index], self._load[index] == 1, self._begun[index]
                try:
                    answer = await self._answer(index, getattr(actor, method).remote(prompt, argument))
                    if attempt == MAX_SCORING_ATTEMPTS or is_good(answer):
                        return answer
                except (RayActorError, DeadlineExceeded) as error:
                    failure, num_ended, part = str(error), num_ended + 1, _stuck_part(error)
                    self._note(index, actor)
                    is_by_itself = bool(part) or (was_idle and self._begun[index] == begun)
                    if is_by_itself and num_ended > 1:
                        raise _EndsActors(error, num_ended, part) from error
                    continue
                except RayError as error:
                    failure = str(error)
            await asyncio.sleep(RETRY_S * attempt)
        raise InfrastructureError(failure)

    @asynccontextmanager
    async def _place(self, tried: set[int], *, is_alone: bool) -> AsyncIterator[int]:
        """Hold a place on the actor that has least to do: one that was not asked, if any is left. Waits while none
        lives; ``is_alone``: until nothing else is on it, and nothing comes to it."""
        while not (able := [index for index in range(len(self.actors)) if index not in self._gone | self._lonely]):
            await self._change()
        index = min([index for index in able if index not in tried] or able, key=self._load.__getitem__)
        if is_alone:
            self._lonely.add(index)
        try:
            while is_alone and (self._load[index] or index in self._gone):
                await self._change()
            self._load[index] += 1
            self._begun[index] += 1
            try:
                yield index
            finally:
                self._load[index] -= 1
        finally:
            if is_alone:
                self._lonely.discard(index)
            self._changed.set()

    async def _change(self) -> None:
        """Wait until an actor is replaced, or has less to do."""
        self._changed.clear()
        await self._changed.wait()

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


class _EndsActors(InfrastructureError):
    """A trajectory ended every actor that was to score it, the last of them by itself."""

    def __init__(self, error: Exception, num_ended: int, part: str) -> None:
        self.part, self.is_stuck = part, isinstance(error, DeadlineExceeded)
        lines = str(error).strip().splitlines()
        what = "did not return" if self.is_stuck else "ended its process"
        super().__init__(f"scoring it {what}, {num_ended} times, the last time by itself: {lines[-1] if lines else ''}")


def _stuck_part(error: BaseException) -> str:
    """Return the part whose function did not return, if the actor itself says so; empty if the actor is gone, or says
    nothing."""
    cause = error.cause if isinstance(error, RayTaskError) else None
    return cause.part if isinstance(cause, PartStuck) else ""
