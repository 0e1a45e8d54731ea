"""Audit the rewards of a run: the battery of wrong responses for prompts of its training file, or for built-in ones.

RunConfig --reward without preference models, drawn prompts--> examine --> Audit
"""

from __future__ import annotations

import asyncio
import logging
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np

from r1ray.config import RewardConfig, RunConfig
from r1ray.data.prompt_rows import spool_prompts
from r1ray.data.prompts import PromptTable
from r1ray.data.template import Form, Question, Renderer, render
from r1ray.errors import UserError
from r1ray.reward.audit.examine import Audit, examine
from r1ray.reward.audit.prompts import built_in_prompts
from r1ray.reward.check_problems import problem_finder
from r1ray.reward.scorer import RewardScorer, resolve_parts
from r1ray.runtime.model_files import load_tokenizer
from r1ray.stages.own_functions import own_columns_of
from r1ray.types import Prompt

logger = logging.getLogger(__name__)

UNNAMED = "unnamed"
"""Value of keys that the user has not given."""


def audited(configs: Mapping[str, RunConfig]) -> dict[str, RunConfig]:
    """Return the stages whose rewards are audited, by their names: those that train by reinforcement; without any, all
    that score. Raises UserError if nothing is scored."""
    scoring = {name: each for name, each in configs.items() if each.reward.parts and not each.only_learner}
    found = {name: each for name, each in scoring.items() if each.has_learner} or scoring
    if not found:
        raise UserError("reward.parts is empty: needs at least one part, as in reward=r1_zero.")
    return found


def has_own_prompts(config: RunConfig) -> bool:
    """Return if the user has given training prompts; what other stages make is not there yet."""
    train = config.data.train
    return train is not None and train != UNNAMED and not (isinstance(train, str) and train.startswith("@"))


def audit(config: RunConfig) -> Audit:
    """Put the battery to the reward of one stage. Raises UserError for prompts or a reward that cannot be used."""
    reward = _without_models(config.reward)
    parts = resolve_parts(reward)
    prompts = own_prompts(config, reward) if has_own_prompts(config) else _built_in(reward)
    scorer = RewardScorer(reward, config.sandbox, programs=None)
    limit = config.algo.max_completion_tokens
    try:
        found = asyncio.run(examine(scorer, parts, prompts, seed=config.audit.seed, max_tokens=limit))
    finally:
        scorer.close()
    if not found.num_prompts:
        raise UserError(f"reward.parts: no prompt has any of {', '.join(reward.parts)}: see their domains and checks.")
    return found


def _without_models(reward: RewardConfig) -> RewardConfig:
    """Return the reward without preference models, which only a run serves. Raises UserError if nothing is left."""
    if not reward.models:
        return reward
    kept = {name: part for name, part in reward.parts.items() if name not in reward.models}
    logger.warning(f"preference models are served by r1ray run alone, and left out: {', '.join(reward.models)}")
    if not kept or (reward.combine == "gated" and reward.gate not in kept):
        raise UserError("reward.parts: what is left without reward.models cannot be audited; needs another part.")
    return replace(reward, parts=kept, models={})


def _built_in(reward: RewardConfig) -> list[Prompt]:
    problem = problem_finder(reward)
    return [prompt for prompt in built_in_prompts() if problem(prompt.check, prompt.language) is None]


def own_prompts(config: RunConfig, reward: RewardConfig) -> list[Prompt]:
    """Return prompts of the training file, drawn by the seed, in the order of the file."""
    with tempfile.TemporaryDirectory() as folder:
        spool = Path(folder) / "train.arrow"
        report = spool_prompts(
            config.data.train,
            spool,
            key="data.train",
            problem=problem_finder(reward),
            columns=own_columns_of(config.data),
            on_bad_row=config.data.on_bad_row,
        )
        if report.quarantined:
            logger.warning(f"data.train: {len(report.quarantined)} rows left out: {report.quarantined[0]}")
        rng = np.random.default_rng(config.audit.seed)
        rows = sorted(rng.permutation(report.num_rows)[: config.audit.num_prompts].tolist())
        table = PromptTable(spool, _renderer(config))
        return [table[row] for row in rows]


def _renderer(config: RunConfig) -> Callable[[Question], str]:
    form = Form.of(config.data)
    if form.template != "chat":
        return lambda question: render(form.posed(question), template=form.template)
    if config.model is None or config.model == UNNAMED or config.model.startswith("@"):
        raise UserError("model is not set: data.template=chat needs the chat template of model=PATH.")
    return Renderer(load_tokenizer(config.model, template="chat"), form)
