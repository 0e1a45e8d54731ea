"""The nearest change with which a run would fit, found by planning again with it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import combinations
from typing import Any

from r1ray.config import RunConfig
from r1ray.planning.gpus import GPUS
from r1ray.planning.plan import Plan, plan_run

MOST_TOGETHER = 3
"""Keys that are changed together, at most."""

Change = tuple[str, Any]


def nearest_change(plan: Plan, *, models: Mapping[str, str] | None = None) -> tuple[Change, ...] | None:
    """What to set so that the plan fits: as few keys as can be, of those the ones that cost least, and other
    machines only where nothing else does it. None where nothing that is tried does."""
    if not plan.problems:
        return ()
    known = list(changes(plan))
    with_these_machines = [change for change in known if not change[0].startswith("plan.")]
    for tried in (with_these_machines, known):
        for together in range(1, MOST_TOGETHER + 1):
            for chosen in combinations(tried, together):
                if len({key for key, _ in chosen}) < together:
                    continue
                changed = changed_config(plan.config, chosen)
                if changed is not None and not plan_run(changed, name=plan.name, models=models).problems:
                    return chosen
    return None


def changes(plan: Plan) -> Iterator[Change]:
    """Single changes that may help, those first that cost least: speed before memory that is not there, that before
    machines, machines before what is learned."""
    config, shape = plan.config, plan.shape
    sections = {problem.section for problem in plan.problems}
    learner, rollout = config.learner, config.rollout
    if "context" in sections and shape.context is not None:
        if config.only_learner:
            yield "supervised.max_tokens", shape.context
        elif shape.context > config.data.max_prompt_tokens:
            yield "algo.max_completion_tokens", shape.context - config.data.max_prompt_tokens
    if sections & {"learner", "host"}:
        if not learner.gradient_checkpointing:
            yield "learner.gradient_checkpointing", True
        for stage in range(learner.zero_stage + 1, 4):
            yield "learner.zero_stage", stage
        for size in (1, 2, 4, 8):
            if size != learner.sequence_parallel_size and not shape.kv_heads % size and not learner.num_ranks % size:
                yield "learner.sequence_parallel_size", size
        row = config.supervised.max_tokens * config.sequences_per_row
        least = row if config.only_learner else config.max_model_len
        if least < learner.max_tokens_per_microbatch:
            yield "learner.max_tokens_per_microbatch", least
        if plan.num_gpus and config.checkpoint.asynchronous:
            yield "checkpoint.asynchronous", False
        if plan.num_gpus and not learner.offload_optimizer:
            yield "learner.offload_optimizer", True
        if plan.num_gpus and not learner.offload_parameters:
            yield "learner.offload_parameters", True
        for factor in (2, 4, 8):
            yield "learner.num_ranks", learner.num_ranks * factor
    if "rollout" in sections:
        for utilization in (0.9, 0.93):
            if utilization > rollout.gpu_memory_utilization:
                yield "rollout.gpu_memory_utilization", utilization
        of_a_node = [gpus for gpus in (1, 2, 4, 8) if gpus <= config.plan.gpus_per_node]
        for gpus in (*of_a_node, *(nodes * of_a_node[-1] for nodes in (2, 4))):
            if gpus != (rollout.gpus_per_actor or 1):
                yield "rollout.gpus_per_actor", gpus
        for nodes in (2, 4):
            if nodes > rollout.nodes_per_actor:
                yield "rollout.nodes_per_actor", nodes
        yield "rollout.gpu_memory_utilization", 0.8
        yield "weights.bucket_mib", 64
        yield "rollout.cpu_kv_cache_gib", 1
    if "cluster" in sections or ("rollout" in sections and config.plan.num_nodes is not None):
        for count in _halves(rollout.num_actors):
            yield "rollout.num_actors", count
    if "cluster" in sections:
        for count in _halves(learner.num_ranks):
            yield "learner.num_ranks", count
        yield "plan.num_nodes", -(-plan.num_gpus // config.plan.gpus_per_node)
    if sections & {"learner", "rollout"} and plan.gpu.name in GPUS:
        for name, gpu in GPUS.items():
            if gpu.memory > plan.gpu.memory:
                yield "plan.gpu", name


def _halves(count: int) -> Iterator[int]:
    while count > 1:
        count //= 2
        yield count


def changed_config(config: RunConfig, chosen: Sequence[Change]) -> RunConfig | None:
    """The configuration with these values; None where they contradict each other."""
    try:
        sections: dict[str, dict[str, Any]] = {}
        for key, value in chosen:
            section, name = key.split(".")
            sections.setdefault(section, {})[name] = value
        made = {section: replace(getattr(config, section), **values) for section, values in sections.items()}
        return replace(config, **made)
    except ValueError:
        return None
