"""The environments that the rows of a run name, looked up before any actor starts."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from r1ray.config import EnvironmentConfig, RewardConfig, SandboxConfig
from r1ray.config.environment import NO_WORLD
from r1ray.conversation import ChatRenderer, ConversationSettings, check_template, make_renderer
from r1ray.data.layouts import RawPrompt
from r1ray.data.prompts import PromptTable, untemplated
from r1ray.data.template import Form
from r1ray.environments.registry import WorldSource, source_of
from r1ray.environments.worker import EnvironmentWorker
from r1ray.environments.world_context import WorldContext
from r1ray.errors import UserError
from r1ray.stages.first_rows import one_line
from r1ray.turns import Observation
from r1ray.types import Prompt

logger = logging.getLogger(__name__)
RowProblem = Callable[[Prompt], str | None]
MAX_BEGINNING = 1200
"""Characters of a beginning that are shown: the tools' part comes before the question."""
LOOKED_AT = 256
"""Prompts of each environment among which a short one is looked for."""


class RunWorlds:
    """Each environment of a run, by its name."""

    def __init__(self, config: EnvironmentConfig, sandbox: SandboxConfig, form: Form) -> None:
        self._config, self._sandbox, self._form = config, sandbox, form
        self._context = WorldContext.of(config, sandbox)
        self.sources: dict[str, WorldSource] = {}
        self._row_problems: dict[str, RowProblem | None] = {}

    def said(self, num_actors: int) -> str:
        """Return what a run says of its environments when it begins; empty where it has none."""
        return f", {num_actors} environment workers for {', '.join(sorted(self.sources))}" if self.sources else ""

    def check_rewards(self, rewards: RewardConfig) -> None:
        """Raise UserError where environments are to pay, and no prompt has one: rows are looked at before."""
        paid = [name for name, part in rewards.parts.items() if part.from_environment]
        if paid and not self.sources:
            raise UserError(
                f"reward.parts.{paid[0]}.from_environment=true: no prompt has an environment; needs rows with a column "
                "environment, or data.environment=NAME."
            )

    def check_command(self) -> None:
        """Raise UserError where an agent's command is given, and no prompt has an agent: rows are looked at before."""
        command = self._config.command
        sources = self.sources.values()
        if command and not any(source.has_agent and source.options.get("command") is None for source in sources):
            raise UserError(
                f"environment.command={command}: no prompt has an agent; needs environment=agent, or rows with a "
                "column environment."
            )

    def problem(self, raw: RawPrompt) -> str | None:
        """Return why the environment of a row can do nothing with it; None where it can. Raises UserError for an
        environment that there is not, or that cannot be made."""
        look = self._look(raw.environment)
        return None if look is None else look(untemplated(raw, self._form))

    def problem_of(self, prompt: Prompt) -> str | None:
        """See :meth:`problem`: of a prompt."""
        look = self._look(prompt.environment)
        return None if look is None else look(prompt)

    def _look(self, name: str) -> RowProblem | None:
        """Return what an environment says of rows, None if it looks at none. Raises what :meth:`problem` does."""
        if name not in self.sources:
            self.sources[name] = source = source_of(name, self._config)
            self._row_problems[name] = _row_problem_of(source, self._context)
        return self._row_problems[name]

    def is_left_out(self, name: str) -> bool:
        """Return whether training prompts of an environment have no share."""
        return bool(self._config.shares) and name not in self._config.shares

    def samples(self, train: PromptTable, held_out: Iterable[PromptTable] = ()) -> list[Prompt]:
        """Return a prompt of each environment, but for those that ``environment.shares`` leaves out: the shortest of
        its first ones."""
        found: dict[str, Prompt] = {}
        for table in (train, *held_out):
            for name, rows in table.rows_by("environment").items():
                if name != NO_WORLD and name not in found and not (table is train and self.is_left_out(name)):
                    found[name] = min((table[int(row)] for row in rows[:LOOKED_AT]), key=lambda each: len(each.text))
        return list(found.values())

    def try_out(self, prompts: Sequence[Prompt]) -> dict[str, Observation]:
        """See :meth:`r1ray.environments.worker.EnvironmentWorker.try_out`: in this process. Raises UserError."""

        async def try_out() -> dict[str, Observation]:
            worker = EnvironmentWorker(self._config, self.sources, self._sandbox)
            try:
                return await worker.try_out(prompts)
            finally:
                await worker.close()
                await self._context.close()

        return asyncio.run(try_out())

    def check_conversations(
        self,
        tokenizer: Any,
        begun: Mapping[str, Observation],
        settings: ConversationSettings,
        *,
        max_prompt_tokens: int,
        says: bool = True,
    ) -> ChatRenderer:
        """Return the model's renderer. Raises UserError where its chat template cannot have the conversations of an
        environment, or where the beginning of one does not fit.

        Args:
            begun: what environments begin with, by their names.
            says: see :func:`r1ray.conversation.make_renderer`.
        """
        renderer = make_renderer(tokenizer, settings=settings, says=says)
        for name, first in begun.items():
            check_template(tokenizer, first.tools, settings=settings, renderer=renderer)
            try:
                beginning = renderer.prompt(first.messages, first.tools)
            except UserError as error:
                raise UserError(f"environment {name}: {error}") from error
            length = len(beginning)
            if says:
                text = one_line(renderer.decode(beginning), MAX_BEGINNING)
                logger.info(f"environment {name}: a prompt as the model reads it, {length} tokens: {text}")
            if length > max_prompt_tokens:
                tools = f", {len(first.tools)} tools among them" if first.tools else ""
                raise UserError(
                    f"data.max_prompt_tokens={max_prompt_tokens}: none of the first prompts in the environment {name} "
                    f"fits, the shortest has {length} tokens{tools}; raise the key."
                )
        return renderer


def _row_problem_of(source: WorldSource, context: WorldContext) -> RowProblem | None:
    """Return the method of an environment that looks at rows, None where it has none; raises UserError in the place of
    whatever it raises."""
    if not source.has("row_problem"):
        return None
    try:
        look = source.made(context).row_problem
    except UserError:
        raise
    except Exception as error:  # the user's class
        raise UserError(f"environment {source.name}: {type(error).__name__}: {error}") from error

    def problem(prompt: Prompt) -> str | None:
        try:
            found = look(prompt)
        except Exception as error:  # the user's method
            raise UserError(f"environment {source.name}: row_problem: {type(error).__name__}: {error}") from error
        return None if found is None else str(found)

    return problem
