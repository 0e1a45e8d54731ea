"""The nearest change with which a run would fit, found by planning again with it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import combinations
from typing import Any

from r1ray.config import OFFLOADS, RunConfig
from r1ray.planning.gpus import GPUS
from r1ray.planning.placed import is_reinforcement
from r1ray.planning.plan import Plan, fits
from r1ray.planning.turns import SECTION

MOST_TOGETHER = 3
"""Keys that are changed together, at most."""
OF_A_NODE = 8
"""GPUs that a node has at most."""

LORA_RANK = 32
"""Of adapters in the place of a model whose own weights cannot be trained here."""

Change = tuple[str, Any]


def nearest_change(plan: Plan, *, models: Mapping[str, str] | None = None) -> tuple[Change, ...] | None:
    """Return what to set so that the plan fits: as few keys as can be, of those the ones that cost least; where
    nothing on these machines does it, more GPUs of their kind, up to a node of them; then other kinds of GPUs, and last
    as many as it takes. None where nothing that is tried does."""
    if not plan.problems:
        return ()
    known = [*((change,) for change in changes(plan)), *adapters(plan)]
    with_these_machines = [each for each in known if not each[0][0].startswith("plan.")]
    of_one_node = (chosen for chosen in more_devices(plan, kinds=[plan.gpu.name]) if _num_gpus(chosen) <= OF_A_NODE)
    tried = (_together(with_these_machines), of_one_node, _together(known), more_devices(plan))
    return next((chosen for each in tried for chosen in each if _fits(plan, chosen, models)), None)


def _together(known: Sequence[tuple[Change, ...]]) -> Iterator[tuple[Change, ...]]:
    """Yield what can be made of several changes, the fewest first."""
    for count in range(1, MOST_TOGETHER + 1):
        for each in combinations(known, count):
            chosen = tuple(change for changes in each for change in changes)
            if len({key for key, _ in chosen}) == len(chosen):
                yield chosen


def _fits(plan: Plan, chosen: Sequence[Change], models: Mapping[str, str] | None) -> bool:
    changed = changed_config(plan.config, chosen)
    return changed is not None and fits(changed, name=plan.name, models=models)


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
    if SECTION in sections:
        yield from _turns_changes(config)
    if sections & {"learner", "host", SECTION}:
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
            if SECTION not in sections:
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
    if sections & {"learner", "rollout", SECTION} and plan.gpu.name in GPUS:
        for name, gpu in GPUS.items():
            if gpu.memory > plan.gpu.memory:
                yield "plan.gpu", name


def _turns_changes(config: RunConfig) -> Iterator[Change]:
    """Single changes of engines and learner that share a GPU too small for both."""
    if config.colocated.offload not in (None, OFFLOADS[-1]):
        for offload in OFFLOADS[OFFLOADS.index(config.colocated.offload) + 1 :]:
            yield "colocated.offload", offload
    if config.rollout.gpus_per_actor != 1 or config.rollout.num_actors != config.learner.num_ranks:
        yield "rollout.gpus_per_actor", 1
        yield "rollout.num_actors", config.learner.num_ranks
        yield "learner.num_ranks", config.rollout.num_actors
    for utilization in (0.8, 0.7, 0.6, 0.5, 0.9, 0.95):
        if utilization != config.rollout.gpu_memory_utilization:
            yield "rollout.gpu_memory_utilization", utilization


def adapters(plan: Plan) -> Iterator[tuple[Change, ...]]:
    """Yield the training of adapters alone, where a model does not find room on GPUs that it shares with an engine."""
    is_shared = any(problem.section == SECTION for problem in plan.problems)
    if is_shared and not plan.config.learner.lora.rank:
        still = (("algo.reference_refresh_updates", 0),) if plan.config.algo.reference_refresh_updates else ()
        yield ("learner.lora.rank", LORA_RANK), *still


def more_devices(plan: Plan, *, kinds: Sequence[str] | None = None) -> Iterator[tuple[Change, ...]]:
    """Yield more GPUs, with what divides the model among them; without the keys that have these values already.

    Args:
        kinds: of GPUs; by default the plan's, and then each larger one.
    """
    if plan.gpu.name not in GPUS:
        return
    larger = sorted((gpu.memory, name) for name, gpu in GPUS.items() if gpu.memory > plan.gpu.memory)
    for kind in kinds or [plan.gpu.name, *(name for _, name in larger)]:
        for changes in _more_of_a_kind(plan):
            chosen = (*changes, ("plan.gpu", kind)) if kind != plan.gpu.name else changes
            if new := tuple((key, value) for key, value in chosen if _value_of(plan.config, key) != value):
                yield new


def _more_of_a_kind(plan: Plan) -> Iterator[tuple[Change, ...]]:
    """Yield more GPUs, the fewest first: of learner and engines in turn where they take turns, and then apart, where an
    engine can have several; of either by itself. Where there is no room else, the optimizer is moved to host memory, or
    adapters are trained."""
    config = plan.config
    aside = [(("learner.offload_optimizer", True),)] if config.has_learner else []
    for gpus in (2, 4, 8, 16, 32, 64):
        if gpus < plan.num_gpus:
            continue
        of_a_node = min(gpus, OF_A_NODE)
        host = config.plan.host_memory_gib * max(1.0, of_a_node / config.plan.gpus_per_node)
        machines: tuple[Change, ...] = (
            ("plan.gpus_per_node", of_a_node),
            ("plan.num_nodes", gpus // of_a_node),
            ("plan.host_memory_gib", host),
        )
        for more in ((), *aside, *adapters(plan)):
            yield from ((*divided, *more, *machines) for divided in _divided(config, gpus))


def _divided(config: RunConfig, gpus: int) -> Iterator[tuple[Change, ...]]:
    """Yield ways to use so many GPUs for the actors of a recipe."""
    if config.only_learner:
        yield ("learner.num_ranks", gpus), ("learner.zero_stage", 3)
        return
    if config.is_colocated and is_reinforcement(config):
        ranks = (("learner.num_ranks", gpus), ("learner.zero_stage", 3))
        yield *ranks, ("rollout.num_actors", gpus), ("rollout.gpus_per_actor", 1)
    half = gpus // 2 if config.has_learner else 0
    apart: tuple[Change, ...] = ()
    if half:
        apart = ("learner.num_ranks", half), ("learner.zero_stage", 3)
        apart = (("placement", "separate"), *apart) if config.is_colocated else apart
    for each in (each for each in (1, 2, 4, 8) if each <= gpus - half):
        yield *apart, ("rollout.num_actors", (gpus - half) // each), ("rollout.gpus_per_actor", each)


def _num_gpus(chosen: Sequence[Change]) -> int:
    """Count the GPUs that learner and engines get by what :func:`more_devices` yields."""
    values = dict(chosen)
    return int(values.get("plan.gpus_per_node", OF_A_NODE) * values.get("plan.num_nodes", 1))


def _value_of(config: RunConfig, key: str) -> Any:
    section: Any = config
    for name in key.split("."):
        section = getattr(section, name)
    return section


def _halves(count: int) -> Iterator[int]:
    while count > 1:
        count //= 2
        yield count


def changed_config(config: RunConfig, chosen: Sequence[Change]) -> RunConfig | None:
    """The configuration with these values; None where they contradict each other."""
    try:
        tree: dict[str, Any] = {}
        for key, value in chosen:
            *above, name = key.split(".")
            section = tree
            for each in above:
                section = section.setdefault(each, {})
            section[name] = value
        changed: RunConfig = _laid(config, tree)
        return changed
    except ValueError:
        return None


def _laid(section: Any, values: Mapping[str, Any]) -> Any:
    """Return a section with these values, which sections below it have as a mapping."""
    laid = {key: _laid(getattr(section, key), each) if isinstance(each, dict) else each for key, each in values.items()}
    return replace(section, **laid)
