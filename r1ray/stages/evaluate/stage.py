"""``r1ray eval``: benchmarks put to models as they are, on rollout and reward actors without a learner.

    benchmark + data --read_benchmark--> questions --+
    model --launch_evaluation--> engines ------------+--answer_questions--> samples.jsonl --metrics_of--> result.json

What comes out is kept under a digest of everything that went in (the model's files, the benchmark, its data, the
settings): the same command again reads it, and one that was interrupted asks only what is not answered yet.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from r1ray.config import CompareConfig, EvaluationConfig, RunConfig, decisive
from r1ray.config.sources import DOMAIN
from r1ray.errors import UserError
from r1ray.evaluation.effects import Effect, effects_of, to_metrics
from r1ray.evaluation.records import Answered
from r1ray.reward.scorer import resolve_parts
from r1ray.rollout.engine_arguments import check_engine_args
from r1ray.runtime.files import write_json
from r1ray.runtime.model_files import check_model, local_folder
from r1ray.stages.base import Artifact, Context, Input, files_read, inputs_of
from r1ray.stages.evaluate.asking import read_answers
from r1ray.stages.evaluate.evaluation import Evaluation, evaluation_of
from r1ray.stages.evaluate.in_worlds import EvalWorlds
from r1ray.stages.evaluate.missing import ask_missing
from r1ray.stages.evaluate.refused import without_refused
from r1ray.stages.evaluate.report import result_of, show, show_comparison, show_spread, spread_of
from r1ray.stages.evaluate.task import tasks_of
from r1ray.telemetry.live_view import view_of_work
from r1ray.telemetry.logs import shown_below


def evaluate_models(config: EvaluationConfig) -> list[dict[str, Any]]:
    """Everything that is asked for: evaluate what is not there yet, and print all of it. Returns the results: of the
    model on each benchmark, then of the other one.

    Raises:
        UserError: what the user gave cannot be evaluated; before any actor starts.
        InfrastructureError: some samples could not be scored; the same command asks for those again.
    """
    evaluations = answered_evaluations(config)
    results = [result_of(evaluation, parts=config.reward.parts, seed=config.seed) for evaluation in evaluations]
    for evaluation, result in zip(evaluations, results, strict=True):
        show(evaluation, result, seed=config.seed, budget=config.search.budget)
    for members in _by_prompt(evaluations).values() if config.prompts else ():
        spread = spread_of([evaluations[i] for i in members], seed=config.seed)
        show_spread(evaluations[members[0]], spread)
        for i in members:
            results[i]["prompts"] = spread
    for a in evaluations:
        for b in evaluations:
            if (a.key, b.key) == ("model", "against") and a.task is b.task:
                show_comparison(a, b, seed=config.seed)
    return results


def _by_prompt(evaluations: Sequence[Evaluation]) -> dict[tuple[str, str], list[int]]:
    """Return the places of the evaluations of each model on each benchmark, where there is one for each of several
    prompts."""
    found: dict[tuple[str, str], list[int]] = {}
    for place, each in enumerate(evaluations):
        found.setdefault((each.key, each.task.benchmark.name), []).append(place)
    return {of_both: places for of_both, places in found.items() if len(places) > 1}


def answered_evaluations(config: EvaluationConfig) -> list[Evaluation]:
    """Ask what is not answered yet. Returns each benchmark with the answers of each model: of the model, then of the
    other one. Raises as :func:`evaluate_models` does."""
    resolve_parts(config.reward)
    check_engine_args(config.rollout)
    if config.judge.is_served:
        check_engine_args(config.judge.engine)
    check_models(config)
    tasks = tasks_of(config)
    models = {key: path for key, path in (("model", config.model), ("against", config.against)) if path is not None}
    tasks = [without_refused(config, task, models) for task in tasks]
    worlds = EvalWorlds(config)
    tasks = [worlds.usable(task) for task in tasks]
    worlds.try_out(tasks)
    evaluations = [
        evaluation_of(config, task, worlds, key=key, path=path) for key, path in models.items() for task in tasks
    ]
    with shown_below(partial(view_of_work, time.monotonic())):
        for key, path in models.items():
            for is_chat in (True, False):
                of_model = [each for each in evaluations if each.key == key and each.is_chat == is_chat]
                ask_missing(config, key, path, of_model, worlds.sources)
    return evaluations


def asked_of(config: RunConfig, context: Context, *, samples: int) -> EvaluationConfig:
    """Return the evaluation of a run's model on its held-out prompts, with so many samples of each."""
    return EvaluationConfig(
        model=config.model,
        benchmarks="prompts",
        data=config.data.eval,
        output_dir=str(context.shared_dir.parent),
        seed=config.seed,
        samples=samples,
        temperature=config.eval.temperature,
        top_p=config.eval.top_p,
        max_tokens=config.algo.max_completion_tokens,
        template=config.data.template,
        system_prompt=config.data.system_prompt,
        suffix=config.data.suffix,
        template_arguments=config.data.template_arguments,
        on_bad_row=config.data.on_bad_row,
        columns=config.data.columns,
        check=config.data.check,
        in_environment=config.data.environment,
        environment=replace(config.environment, shares=None),
        limit=config.eval.final_num_prompts,
        rollout=config.rollout,
        reward=config.reward,
        sandbox=config.sandbox,
        judge=config.judge,
        deadlines=config.deadlines,
        cluster=config.cluster,
    )


def metrics_of_result(result: Mapping[str, Any]) -> dict[str, float]:
    """Return the metrics of a result by their names, with both ends of their intervals."""
    metrics = {name: metric["value"] for name, metric in result["metrics"].items()}
    for name, metric in result["metrics"].items():
        if metric["over_questions"] is not None:
            metrics[f"{name}_low"], metrics[f"{name}_high"] = metric["over_questions"]
    return metrics


def check_models(config: EvaluationConfig) -> None:
    """Raise UserError where a folder of a model that takes part is not a whole model of its kind."""
    judge = config.judge.model if config.judge.url is None else None
    for key, path, kind in (
        ("model", config.model, "CausalLM"),
        ("against", config.against, "CausalLM"),
        ("judge.model", judge, ""),
        ("reward_model.model", config.reward_model.model, "SequenceClassification"),
    ):
        if path is not None:
            folder = Path(local_folder(path, key=key))
            check_model(folder, named=f"{key}={path}", kind=kind, is_trained=False)


class Evaluate:
    """``r1ray eval`` of a model on held-out prompts, as a stage."""

    name = "evaluate"
    makes = "metrics"
    needs: tuple[str, ...] = ()

    def __init__(self, config: RunConfig) -> None:
        self._config = config

    def reads(self) -> list[Input]:
        config = self._config
        return inputs_of(
            ("model", config.model, "model"),
            ("data.eval", config.data.eval, "prompts"),
            *(("eval.compare.against", each.against, "file") for each in config.eval.compare),
            ("judge.model", None if config.judge.url else config.judge.model, "model"),
        )

    def settings(self) -> dict[str, Any]:
        config = self._config
        parts = ("seed", "model", "data", "eval", "reward", "sandbox", "rollout", "judge", "algo", "environment")
        return {"files": files_read(self)} | {key: value for key, value in decisive(config).items() if key in parts}

    def run(self, context: Context, inputs: dict[str, Artifact], digest: str) -> Artifact:
        config = self._config
        asked = asked_of(config, context, samples=config.eval.final_samples)
        (result,) = evaluate_models(asked)
        path = context.run_dir / "result.json"
        write_json(path, result)
        metrics = metrics_of_result(result)
        for key, prefix in (("set", ""), (DOMAIN, f"{DOMAIN}/")):
            means = result["groups"].get(key, {}).get("by_group", {})
            metrics |= {f"{prefix}{name}/pass@1": value for name, value in means.items()}
        after = list(read_answers(Path(result["samples"])).values()) if config.eval.compare else []
        for compared in config.eval.compare:
            for effect in self._effects(compared, after):
                metrics |= to_metrics(effect, compared.name)
        return Artifact(str(path), digest, metrics)

    def _effects(self, compared: CompareConfig, after: Sequence[Answered]) -> list[Effect]:
        try:
            before = read_answers(Path(json.loads(Path(compared.against).read_text())["samples"]))
            return effects_of(list(before.values()), after, compared.expect, seed=self._config.seed)
        except (OSError, KeyError, TypeError) as error:
            raise UserError(
                f"eval.compare.against={compared.against}: {error!r}; needs the result.json of an evaluation whose "
                "samples are there."
            ) from error
        except ValueError as error:
            raise UserError(f"eval.compare.expect, against {compared.against}: {error}.") from error
