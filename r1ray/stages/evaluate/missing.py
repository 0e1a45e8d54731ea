"""Ask a model what is not answered yet: engines start where something is missing, and end when nothing is."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict
from typing import Any

from r1ray.cluster.launch_evaluation import RunningEvaluation, launch_evaluation
from r1ray.config import EvaluationConfig
from r1ray.config.specs import EpisodesSpec
from r1ray.environments.registry import WorldSource
from r1ray.evaluation.search_run import Found, Result, Searcher
from r1ray.runtime.advance import advancing
from r1ray.runtime.files import write_json
from r1ray.runtime.folder_lock import locked
from r1ray.runtime.model_files import local_folder
from r1ray.stages.evaluate.asking import append_line, ask, check_answers, mend, read_answers, read_lines
from r1ray.stages.evaluate.evaluation import Evaluation
from r1ray.stages.evaluate.in_worlds import episodes_of
from r1ray.stages.first_rows import NUM_SHOWN, say_first_rows
from r1ray.types import Sampling

logger = logging.getLogger(__name__)

WAIT_S = 24 * 3600.0
"""For another process that asks the same."""


def ask_missing(
    config: EvaluationConfig,
    key: str,
    model: str,
    evaluations: Sequence[Evaluation],
    worlds: Mapping[str, WorldSource],
) -> None:
    """Ask a model what is not answered yet. What another process asks at the moment is waited for, and not asked again.
    Raises UserError where that takes longer than :data:`WAIT_S`.

    Args:
        worlds: what environments of the questions are made from, by their names.
    """
    with ExitStack() as locks:
        # In one order: two processes with the same evaluations never wait for each other. And not in the event loop,
        # where the first Ctrl-C would not end the wait.
        for folder in sorted({each.folder for each in evaluations if not _is_done(config, each)}):
            locks.enter_context(locked(folder, wait_s=WAIT_S))
        if missing := [each for each in evaluations if not _is_done(config, each)]:
            for each in missing:
                say_first_rows(config, each.first_prompts(NUM_SHOWN), max_tokens=each.max_tokens)
            asyncio.run(_ask(config, local_folder(model, key=key), missing, worlds))


def _is_done(config: EvaluationConfig, evaluation: Evaluation) -> bool:
    """Read what is there already; return whether that is all."""
    evaluation.answered = read_answers(evaluation.folder / "samples.jsonl")
    evaluation.found = {i: _found(row) for i, row in read_lines(evaluation.folder / "search.jsonl")}
    prompts = dict(enumerate(evaluation.prompts))
    path = evaluation.folder / "samples.jsonl"
    check_answers(evaluation.answered, prompts, path, samples=evaluation.task.samples)
    wanted = len(evaluation.prompts)
    return len(evaluation.answered) == wanted and (not config.search.methods or len(evaluation.found) == wanted)


def _found(row: dict[str, Any]) -> Found:
    return {method: Result(**result) for method, result in row.items()}


async def _ask(
    config: EvaluationConfig, model: str, evaluations: Sequence[Evaluation], worlds: Mapping[str, WorldSource]
) -> None:
    """Start engines with a model, and put every question to them that is not answered."""
    longest = max(each.longest + each.most_tokens for each in evaluations)
    in_worlds = [each for each in evaluations if each.names_of_worlds]
    others = f", {config.environment.num_actors} environment workers" if in_worlds else ""
    logger.info(
        f"starting {config.rollout.num_actors} rollout and {config.reward.num_actors} reward actors{others} for {model}"
    )
    running = await launch_evaluation(
        config,
        model=model,
        max_model_len=longest,
        template=evaluations[0].task.template,
        programs=frozenset[str]().union(*(each.task.report.programs for each in evaluations)),
        worlds=worlds,
        episodes=_episodes(config, model, in_worlds) if in_worlds else None,
    )
    try:
        for evaluation in evaluations:
            write_json(evaluation.folder / "settings.json", evaluation.settings)
            await _sample(config, evaluation, running)
            if config.search.methods:
                await _search(config, evaluation, running)
    finally:
        running.shutdown()


def _episodes(config: EvaluationConfig, model: str, evaluations: Sequence[Evaluation]) -> EpisodesSpec:
    return episodes_of(
        config,
        model=model,
        template=evaluations[0].task.template,
        longest=max(each.longest for each in evaluations),
        most_tokens=min(each.most_tokens for each in evaluations),
    )


async def _sample(config: EvaluationConfig, evaluation: Evaluation, running: RunningEvaluation) -> None:
    task = evaluation.task
    before = set(evaluation.answered)
    evaluation.answered, evaluation.seconds = await ask(
        running,
        dict(enumerate(evaluation.prompts)),
        evaluation.folder / "samples.jsonl",
        name=evaluation.name,
        samples=task.samples,
        sampling=Sampling(task.temperature, task.top_p, evaluation.max_tokens, with_logprobs=False),
        seed=config.seed * 1_000_003,
        rollout=config.rollout,
        deadlines=config.deadlines.decided,
        world_s=config.environment.longest_s(config.rollout.asked_at_a_time),
        groups=lambda number: task.items[number].groups,
    )
    new = [question for number, question in evaluation.answered.items() if number not in before]
    evaluation.new_tokens = sum(sample.num_tokens for question in new for sample in question.samples)


async def _search(config: EvaluationConfig, evaluation: Evaluation, running: RunningEvaluation) -> None:
    missing = {i: prompt for i, prompt in enumerate(evaluation.prompts) if i not in evaluation.found}
    if not missing:
        return
    assert running.reward_model is not None
    logger.info(f"{evaluation.name}: search with {config.search.budget} tokens a question, {len(missing)} questions")
    searcher = Searcher(
        sampler=running.groups,
        reward=running.reward_model,
        config=config.search,
        temperature=evaluation.task.temperature,
        top_p=evaluation.task.top_p,
        max_answer_tokens=evaluation.max_tokens,
        seed=config.seed * 1_000_003,
        deadline_s=config.deadlines.decided.generate_s,
    )
    mend(evaluation.folder / "search.jsonl")
    with (
        (evaluation.folder / "search.jsonl").open("a", encoding="utf-8") as file,
        advancing(f"search of {evaluation.name}", total=len(missing)) as advance,
    ):

        def keep(number: int, found: Found) -> None:
            advance.done += 1
            evaluation.found[number] = found
            append_line(file, number, {method: asdict(result) for method, result in found.items()})

        at_a_time = max(1, config.rollout.num_actors * config.rollout.max_num_seqs // config.search.num_children)
        await searcher.questions(missing, at_a_time=at_a_time, keep=keep)
