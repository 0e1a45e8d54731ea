"""Names in the configuration of a stage, looked up before anything starts.

Otherwise the stage, or an actor of it, would find out; in a recipe of several stages that is hours later.
"""

from __future__ import annotations

import difflib
import importlib.util
import logging
from collections.abc import Collection, Mapping

from r1ray.config import LearnerConfig, RunConfig
from r1ray.config.sources import DOMAIN, ENVIRONMENT, HELD_OUT, name_of
from r1ray.errors import UserError
from r1ray.evaluation.benchmarks.metrics import METRICS
from r1ray.planning.gpus import gpu_of
from r1ray.planning.shapes import load_shape
from r1ray.reward.scorer import resolve_parts
from r1ray.rollout.engine_arguments import check_engine_args
from r1ray.stages.collect.selection import filters_of, options_of
from r1ray.stages.collect.stage import sampling_config
from r1ray.stages.own_functions import check_own_functions, own_columns_of

OF_EVERY_EVALUATION = ("pass@1", "pass@1_low", "pass@1_high", "length_mean", "truncated_rate", "no_answer_rate")
OF_ENVIRONMENTS = ("reward_mean", "turns_mean", "tool_calls_mean", "tool_errors_rate", "wait_s")
OF_A_DOMAIN = ("share", "reward_mean", "length_mean")
OF_CHECKS = frozenset(name for metric in METRICS.values() for name in metric.names)
"""Metrics that checks of some kinds tell of a response, beside the parts of the reward."""


def check_names(configs: Mapping[str, RunConfig]) -> None:
    """Raise UserError for a value that names something that does not exist.

    Args:
        configs: of the stages of a graph by their names; that of a single one under an empty name.
    """
    for name, config in configs.items():
        try:
            _check(config)
        except UserError as error:
            raise UserError(f"graph.{name}: {error}" if name else str(error)) from error


def _check(config: RunConfig) -> None:
    is_rl = config.has_learner and not config.only_learner
    if config.plan.gpu is not None:
        gpu_of(config.plan, config.plan.gpu)
    if config.recipe == "collect":
        filters_of(config.collect)
        options_of(config.collect)
    if config.recipe == "evaluate":
        _check_expected(config)
    if is_rl or config.only_samples:
        own_columns_of(config.data)
        resolve_parts(config.reward)
        check_engine_args(config.rollout)
    if config.only_samples:
        _check_evaluation(config)
    if is_rl:
        check_own_functions(config.algo)
        check_metrics(config)
    if config.has_learner:
        _check_deepspeed(config.learner)
    _check_heads(config)


def _check_evaluation(config: RunConfig) -> None:
    """Raise UserError for what a stage that trains nothing does not have."""
    if config.judge.is_served:
        check_engine_args(config.judge.engine)
    try:
        sampling_config(config)
    except ValueError as error:
        raise UserError(str(error)) from error


def check_metrics(
    config: RunConfig,
    *,
    can_vote: bool = True,
    domains: Collection[str] | None = None,
    groups: Collection[str] | None = None,
) -> None:
    """Raise UserError where no evaluation makes the metric that ``checkpoint.best`` or ``stop.metric`` names.

    Args:
        can_vote: whether answers to all held-out prompts can; where that is known.
        domains: of the training prompts, where they are known.
        groups: of the held-out prompts, each with metrics of its own, where they are known: ``aime``, ``domain/math``.
    """
    if config.checkpoint.best is not None:
        _check_held_out("checkpoint.best", config.checkpoint.best, config, can_vote=can_vote, groups=groups)
    if not config.stop.window:
        return
    metric = config.stop.metric
    kind, _, rest = metric.partition("/")
    name, _, last = rest.rpartition("/")
    if kind == "eval":
        prefix = f"{kind}/{benchmark}/" if (benchmark := benchmark_of(config)) else "eval/"
        if not metric.startswith(prefix):
            raise UserError(f"stop.metric={metric}: needs {prefix}METRIC, by the name of data.eval.")
        name = metric.removeprefix(prefix)
        _check_held_out("stop.metric", name, config, can_vote=can_vote, prefix=prefix, groups=groups)
    elif kind == "domain" and last not in OF_A_DOMAIN:
        raise UserError(f"stop.metric={metric}: needs domain/NAME/ and one of {', '.join(OF_A_DOMAIN)}.")
    elif kind == "domain" and domains is not None and (name not in domains or len(domains) < 2):
        there = f"there are {', '.join(sorted(domains))}" if len(domains) > 1 else "all prompts are of one"
        raise UserError(f"stop.metric={metric}: needs a domain of data.train that is one of several; {there}.")


def benchmark_of(config: RunConfig) -> str:
    """Return the name of the held-out prompts among the metrics; "" of several sets, and where there are none."""
    return HELD_OUT if config.prepare.maker else name_of(config.data.eval)


def _check_held_out(
    key: str,
    name: str,
    config: RunConfig,
    *,
    can_vote: bool,
    prefix: str = "",
    groups: Collection[str] | None = None,
) -> None:
    """Raise UserError for a metric that some evaluation of the run does not make, ``cons@k`` of other samples."""
    if config.data.eval is None and not config.prepare.maker:
        raise UserError(f"{key}={prefix}{name}: nothing is evaluated; needs data.eval=PATH.")
    group = _group_of(name, config, groups)
    for kind, otherwise in ((DOMAIN, "one domain"), (ENVIRONMENT, "no environment")):
        if group is None and name.startswith(f"{kind}/"):
            if groups is None:
                return  # the stage looks once more when it has read the prompts
            there = ", ".join(each for each in groups if each.startswith(f"{kind}/")) or otherwise
            raise UserError(f"{key}={prefix}{name}: the held-out prompts have {there}.")
    if group is not None:
        prefix, name = f"{prefix}{group}/", name.removeprefix(f"{group}/")
    during, final = config.eval.samples, config.eval.final_samples
    always = [*OF_EVERY_EVALUATION, *config.reward.parts]
    of_worlds = [*OF_ENVIRONMENTS]
    if final > 1 and (during == final or not config.eval.every):
        of_worlds.append(f"pass@{final}")
    if groups is None and name in of_worlds:
        return  # as above
    if groups is not None and any(each.startswith(f"{ENVIRONMENT}/") for each in groups):
        always += of_worlds
    if can_vote and (during == final or not config.eval.every):
        always += [f"cons@{final}", f"cons@{final}/tie_rate"]
    if name in always or name in OF_CHECKS:
        return
    needed = f"needs one of {prefix}{f', {prefix}'.join(always)}"
    if name.startswith("cons@") and not can_vote:
        raise UserError(f"{key}={prefix}{name}: answers to some prompts of data.eval cannot vote; {needed}.")
    if name.startswith("cons@") and during != final and config.eval.every:
        raise UserError(
            f"{key}={prefix}{name}: evaluations make cons@{during} (eval.samples), and the first and the last "
            f"cons@{final} (eval.final_samples); needs both keys to be the same, or one of {', '.join(always)}."
        )
    raise UserError(f"{key}={prefix}{name}: no evaluation makes it; {needed}.")


def _group_of(name: str, config: RunConfig, groups: Collection[str] | None) -> str | None:
    """Return the set or domain of the held-out prompts that a metric is of, None of one over all of them."""
    sets = config.data.eval if isinstance(config.data.eval, Mapping) else {}
    return next((group for group in (*sets, *(groups or ())) if name.startswith(f"{group}/")), None)


def _check_expected(config: RunConfig) -> None:
    """Raise UserError for a metric of ``eval.compare`` that evaluations do not make."""
    known = ["pass@1", "length_mean", *config.reward.parts]
    for compared in config.eval.compare:
        for metric in compared.expect:
            if metric not in known and metric not in OF_CHECKS:
                near = difflib.get_close_matches(metric, known, n=1, cutoff=0.0)[0]
                raise UserError(
                    f"eval.compare.expect.{metric}: no such metric; needs one of {', '.join(known)} (the nearest is "
                    f"{near})."
                )


def _check_heads(config: RunConfig) -> None:
    """Raise UserError where ranks or GPUs cannot share out the heads of a model whose shape is known already."""
    if config.model is None or config.model.startswith("@"):
        return  # another stage makes it
    try:
        shape = load_shape(config.model)
    except (UserError, ValueError):
        return  # whoever reads the model says what is wrong
    size = config.learner.sequence_parallel_size
    if config.has_learner and shape.kv_heads % size:
        raise UserError(
            f"learner.sequence_parallel_size={size} does not divide the {shape.kv_heads} key-value heads of "
            f"model={config.model}, which its ranks share out: needs a divisor of {shape.kv_heads}."
        )
    parts = config.rollout.parallel_sizes(config.rollout.num_gpus(cluster_has_gpus=False))
    tensor, pipeline = parts["tensor_parallel_size"], parts["pipeline_parallel_size"]
    if config.only_learner or not config.starts_actors:
        return
    if shape.heads % tensor:
        raise UserError(
            f"rollout: an engine cuts each layer of model={config.model} in {tensor} (rollout.gpus_per_actor, or "
            f"rollout.engine_args.tensor_parallel_size), and its {shape.heads} heads do not divide: needs a divisor of "
            f"{shape.heads}."
        )
    if pipeline > shape.layers:
        raise UserError(
            f"rollout: an engine cuts model={config.model} in {pipeline} (rollout.nodes_per_actor, or "
            f"rollout.engine_args.pipeline_parallel_size), and it has {shape.layers} layers: needs at most that."
        )


def _check_deepspeed(config: LearnerConfig) -> None:
    """Raise UserError for settings that DeepSpeed does not know or refuses. Its import takes seconds, and is only made
    where there are any."""
    if not config.deepspeed or importlib.util.find_spec("deepspeed") is None:
        return
    logging.disable(logging.WARNING)  # its import warns of a machine without GPUs
    try:
        from r1ray.learner.deepspeed_engine import check_settings
    finally:
        logging.disable(logging.NOTSET)
    check_settings(config, world_size=1)
