"""Answers to held-out prompts before and after fine-tuning (``supervised.samples``): what imitation did to the model.

ask --engines--> answers of a step --> rollouts/eval_step=000120.parquet, pass@1, parts of the reward
"""

from __future__ import annotations

from dataclasses import replace

from r1ray.cluster.placement import preflight
from r1ray.config import RunConfig
from r1ray.evaluation.kept import keep_answers
from r1ray.stages.base import Context
from r1ray.stages.evaluate.report import result_of, show
from r1ray.stages.evaluate.stage import answered_evaluations, asked_of, metrics_of_result


def ask(config: RunConfig, context: Context, model: str, *, step: int, stage: str) -> dict[str, float]:
    """Have engines answer the held-out prompts with the model of a step, keep what it answers, and return the metrics.
    A model that has answered them all is not asked again.

    Raises UserError where prompts, reward or machine do not allow it: of step 0 before anything is trained.
    """
    asked = replace(asked_of(config, context, samples=config.supervised.samples), model=model)
    preflight(asked)
    (evaluation,) = answered_evaluations(asked)
    keep_answers(
        context.run_dir / "rollouts",
        step,
        stage=stage,
        name=evaluation.task.benchmark.name,
        prompts=evaluation.prompts,
        answered=evaluation.answered,
    )
    result = result_of(evaluation, parts=config.reward.parts, seed=config.seed)
    show(evaluation, result, seed=config.seed, budget=asked.search.budget)
    return metrics_of_result(result)
