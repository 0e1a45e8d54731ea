"""The environment ``repository``: an issue, tools on the repository, and tests that judge the result.

The trajectory ends at the first turn without a call. The tests of the row are then run on its files. The reward part
``tests`` is 1 if all required tests pass, including those that passed before; ``tests_passed`` is the share of passed
tests. While a trajectory is judged, it occupies no place on an engine.
"""

from __future__ import annotations

import asyncio
from typing import Any

from r1ray.environments.repository.rows import Task, task_of
from r1ray.environments.repository.runner import RepositoryRunner
from r1ray.environments.repository.tools import WorkingTree
from r1ray.environments.tools.toolbox import MAX_RESULT_CHARS, Toolbox
from r1ray.environments.world_context import WorldContext
from r1ray.errors import UnscorableError
from r1ray.turns import Action, Done, Message, Observation
from r1ray.types import Prompt

OF_STEP = 0.95
"""Share of ``environment.step_timeout_s`` after which a call is given up; the program that it runs has an earlier
limit."""


class Repository:
    """One repository, worked on by one trajectory."""

    def __init__(self, *, max_result_chars: int = MAX_RESULT_CHARS, context: WorldContext | None = None) -> None:
        """Raises UserError.

        Args:
            max_result_chars: longer results of tools lose their middle.
            context: context of the worker, whose trajectories share a sandbox; None: this one has its own.
        """
        context, self._is_owner = context or WorldContext(), context is None
        self._limits: dict[str, Any] = {
            "call_timeout_s": OF_STEP * context.step_timeout_s,
            "max_result_chars": max_result_chars,
        }
        self._box = Toolbox([], **self._limits)
        self._runner = context.shared("repository", lambda: RepositoryRunner(context))
        self._task: Task | None = None
        self._work = WorkingTree({}, self._runner)

    def row_problem(self, prompt: Prompt) -> str | None:
        """Return the reason why a row cannot be used; None if it can."""
        try:
            task_of(prompt.columns, has_pytest=self._runner.has_pytest)
        except ValueError as error:
            return str(error)
        return None

    async def check(self) -> None:
        """Prepare the sandbox. Raises UserError, SandboxUnavailable."""
        await self._runner.sandbox()

    async def reset(self, prompt: Prompt, seed: int) -> Observation:
        """Return the issue, and the tools. Raises UnscorableError."""
        try:
            self._task = await asyncio.to_thread(task_of, prompt.columns, has_pytest=self._runner.has_pytest)
        except ValueError as error:
            raise UnscorableError(f"row {prompt.id}: {error}") from error
        self._work = WorkingTree(dict(self._task.snapshot), self._runner)
        self._box = Toolbox(self._work.tools(), **self._limits)
        return Observation(messages=prompt.messages or (Message("user", prompt.text),), tools=self._box.schemas)

    async def step(self, action: Action) -> Observation | Done:
        """Serve the calls of a turn; without calls, judge the files. Raises InfrastructureError."""
        if not action.calls:
            return await self._judged()
        served = await self._box.serve(action.calls)
        return Observation(messages=served.messages, num_errors=served.num_errors)

    async def close(self) -> None:
        """End the sandbox if it belongs to this world."""
        if self._is_owner:
            await self._runner.close()

    async def _judged(self) -> Done:
        assert self._task is not None, "reset() was not called"
        verdict = await self._runner.judge(self._work.tree, self._task)
        rewards = {"tests": float(verdict.is_resolved), "tests_passed": verdict.share}
        return Done(rewards=rewards | self._box.counts, label=verdict.label, detail=verdict.detail)
