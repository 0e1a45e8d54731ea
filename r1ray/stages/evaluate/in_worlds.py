"""The environments of an evaluation's questions: looked up and tried out before any actor starts."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from r1ray.cluster.joining import is_remote
from r1ray.config import EvaluationConfig
from r1ray.config.specs import EpisodesSpec
from r1ray.conversation import ConversationSettings
from r1ray.data.checks import CHECK_TYPES
from r1ray.data.template import Form
from r1ray.environments.registry import WorldSource
from r1ray.errors import UserError
from r1ray.reward.scorer import check_parts, resolve_parts
from r1ray.stages.evaluate.task import Task
from r1ray.stages.worlds import RunWorlds
from r1ray.turns import Observation
from r1ray.types import Prompt


class EvalWorlds:
    """Each environment of an evaluation."""

    def __init__(self, config: EvaluationConfig) -> None:
        self._config = config
        self._worlds = RunWorlds(config.environment, config.sandbox, Form("none"))
        self._begun: Mapping[str, Observation] = {}

    @property
    def sources(self) -> Mapping[str, WorldSource]:
        """The sources of environments, by their names; empty where no question has one."""
        return self._worlds.sources

    def usable(self, task: Task) -> Task:
        """Return a task without the questions that their environments can do nothing with. Raises UserError for an
        environment that there is not, where nothing would be rewarded, and where no question is left."""
        reasons = {item.id: self._problem(task, item.prompt(lambda question: "", task.form)) for item in task.items}
        kept = [item for item in task.items if reasons[item.id] is None]
        left_out = tuple(f"{name} ({reason})" for name, reason in reasons.items() if reason is not None)
        named = f"benchmark={task.benchmark.name}"
        if not kept:
            raise UserError(f"{named}: no question can be used in its environment: {left_out[0]}.")
        kinds = {(item.domain, CHECK_TYPES[type(item.check)]) for item in kept if item.environment}
        check_parts(resolve_parts(self._config.reward), kinds, key=named, are_all_used=False)
        if kinds and self._config.search.methods:
            raise UserError("search.methods: a search has answers of one turn; needs questions without an environment.")
        report = replace(task.report, num_items=len(kept), left_out=(*task.report.left_out, *left_out))
        return replace(task, items=kept, report=report)

    def _problem(self, task: Task, prompt: Prompt) -> str | None:
        if not prompt.environment:
            return None
        try:
            return self._worlds.problem_of(prompt)
        except UserError as error:
            raise UserError(f"benchmark={task.benchmark.name}: question {prompt.id}: {error}") from error

    def try_out(self, tasks: Sequence[Task]) -> None:
        """Make one world of each environment in this process, and reset it; those of a remote cluster are not. Raises
        UserError."""
        firsts: dict[str, Prompt] = {}
        for task in tasks:
            for item in task.items:
                if item.environment and item.environment not in firsts:
                    firsts[item.environment] = item.prompt(lambda question: "", task.form)
        if firsts and not is_remote(self._config.cluster.address):
            self._begun = self._worlds.try_out(list(firsts.values()))

    def lengths(self, tokenizer: Any, prompts: Sequence[Prompt], settings: ConversationSettings) -> list[int]:
        """Return the tokens of question and tools, for each prompt with an environment. Raises UserError where the chat
        template cannot have them."""
        in_worlds = [prompt for prompt in prompts if prompt.environment]
        if not in_worlds:
            return []
        unknown = {prompt.environment: Observation(messages=prompt.messages) for prompt in in_worlds}
        begun = {name: self._begun.get(name, first) for name, first in unknown.items()}
        renderer = self._worlds.check_conversations(tokenizer, begun, settings, max_prompt_tokens=sys.maxsize)
        return [len(renderer.prompt(prompt.messages, begun[prompt.environment].tools)) for prompt in in_worlds]


def episodes_of(config: EvaluationConfig, *, model: str, template: str, longest: int, most_tokens: int) -> EpisodesSpec:
    """Return what a group worker needs to have the trajectories of an evaluation.

    Args:
        longest: tokens of a conversation up to the first turn.
        most_tokens: of what may follow it.
    """
    environment = config.environment
    if environment.max_trajectory_tokens is not None:
        environment = replace(environment, max_trajectory_tokens=min(environment.max_trajectory_tokens, most_tokens))
    return EpisodesSpec(
        environment=environment,
        model=model,
        template=template,
        template_arguments=config.template_arguments or {},
        max_prompt_tokens=longest,
        max_row_tokens=sys.maxsize,  # no learner reads them
        start_s=config.deadlines.decided.start_s,
    )
