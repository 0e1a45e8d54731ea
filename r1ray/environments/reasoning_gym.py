"""Tasks of reasoning-gym over several turns: after a wrong answer the policy is told so, and may answer again.

    prompt with a ReasoningTask --> answer --> its set's checker, in the sandbox --> right: Done
                                      ^-- feedback, up to max_turns -- wrong

Tasks are ordinary rows, of ``data.train=reasoning_gym:SET+SET`` or of a file. Several checkers execute the answer's
text, so they run in the sandbox, with a time limit (:mod:`r1ray.reward.task`). The reward part ``task`` is the score of
the last answer if it reaches the check's threshold, otherwise 0.
"""

from __future__ import annotations

import asyncio

from r1ray.checks import ReasoningTask
from r1ray.config import SandboxConfig
from r1ray.environments.world_context import WorldContext
from r1ray.errors import UserError
from r1ray.reward.task import TaskGrader, missing
from r1ray.turns import Action, Done, Message, Observation
from r1ray.types import Prompt, Score

PART = "task"
FEEDBACK = {
    "no_answer": "There is no answer in that. Give it between <answer> and </answer>.",
    "timeout": "That is not right: it cannot be evaluated in the time that there is. Try again.",
    "wrong": "That is not right. Try again.",
    "partial": "That is not quite right. Try again.",
}
"""Feedback on an answer, by the label of its score."""


class ReasoningGym:
    """One task, and the answers to it."""

    def __init__(self, *, max_turns: int = 3, context: WorldContext | None = None) -> None:
        """Raises UserError.

        Args:
            max_turns: largest number of answers.
            context: context of the worker, whose worlds share one sandbox of checkers; None: this world has its own.
        """
        if isinstance(max_turns, bool) or not isinstance(max_turns, int) or max_turns < 1:
            raise UserError(f"max_turns={max_turns!r}: needs a whole number of turns, 1 or more.")
        self._max_turns, self._is_owner = max_turns, context is None
        self._checkers: Checkers = (
            Checkers(SandboxConfig())
            if context is None
            else context.shared("reasoning_gym", lambda: Checkers(context.sandbox))
        )
        self._check: ReasoningTask | None = None
        self._turns = 0

    def row_problem(self, prompt: Prompt) -> str | None:
        """Return the reason why a row has no task; None if it has one."""
        if isinstance(prompt.check, ReasoningTask):
            return missing()
        return "its check is not a task of reasoning-gym: needs data.train=reasoning_gym:SET, or a check of that type"

    async def check(self) -> None:
        """Prepare the checkers. Raises UserError, SandboxUnavailable."""
        if message := missing():
            raise UserError(f"environment reasoning_gym: {message}.")
        await self._checkers.grader()

    async def reset(self, prompt: Prompt, seed: int) -> Observation:
        """Return the task."""
        assert isinstance(prompt.check, ReasoningTask), "rows are looked at before"
        self._check = prompt.check
        return Observation(messages=prompt.messages or (Message("user", prompt.text),))

    async def step(self, action: Action) -> Observation | Done:
        """Judge an answer. Raises InfrastructureError."""
        assert self._check is not None
        self._turns += 1
        score = await (await self._checkers.grader()).score(self._check, action.content)
        if score.label == "correct" or self._turns >= self._max_turns:
            return Done(rewards={PART: score.value}, label=score.label, detail=score.detail)
        return Observation(messages=(Message("user", feedback(score)),))

    async def close(self) -> None:
        """End the checkers if they belong to this world."""
        if self._is_owner:
            await self._checkers.close()


class Checkers:
    """Sandbox of an environment worker in which answers are judged; created at the first use."""

    def __init__(self, config: SandboxConfig) -> None:
        self._config, self._starting = config, asyncio.Lock()
        self._grader: TaskGrader | None = None

    async def grader(self) -> TaskGrader:
        """Return the grader. Raises SandboxUnavailable."""
        async with self._starting:
            if self._grader is None:
                self._grader = await asyncio.to_thread(TaskGrader, self._config)
            return self._grader

    async def close(self) -> None:
        if self._grader is not None:
            await asyncio.to_thread(self._grader.close)
            self._grader = None


def feedback(score: Score) -> str:
    """Return the feedback to the policy on an answer that is not right."""
    return FEEDBACK.get(score.label, FEEDBACK["wrong"])
