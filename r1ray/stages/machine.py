"""The machine of a run, as far as it is known before anything starts, and whether the run fits into its memory."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from r1ray.cluster.joining import is_remote, local_gpus
from r1ray.cluster.probe import found_gpus
from r1ray.config import PlanConfig, RunConfig
from r1ray.errors import UserError
from r1ray.planning.advice import nearest_change
from r1ray.planning.gpus import CPU
from r1ray.planning.placed import with_placement
from r1ray.planning.plan import gpu_name, plan_run, shape_name
from r1ray.planning.report import refusal


def placed_here(config: RunConfig) -> RunConfig:
    """Return the configuration with ``placement`` decided, where the run starts Ray on this machine. Raises UserError
    where there is one GPU that a learner and an engine cannot share."""
    return config if is_remote(config.cluster.address) else with_placement(config, num_gpus=local_gpus())


def with_memory(plan: PlanConfig) -> PlanConfig:
    """Return the machines of a plan with the memory of this machine's smallest GPU, where ``plan.memory_gib`` does not
    say otherwise and it is known."""
    if plan.memory_gib is not None or plan.gpu == CPU.name:
        return plan
    sizes = [gpu.memory_mib for gpu in found_gpus().gpus if gpu.memory_mib]
    return replace(plan, memory_gib=min(sizes) / 1024) if sizes else plan


def check_memory(config: RunConfig, configs: Mapping[str, RunConfig]) -> None:
    """Raise UserError, with the nearest change that helps, for a run that does not fit into memory: of the machines
    that ``plan`` names, or of this one, if the run starts Ray here.

    Args:
        config: of the run.
        configs: of its stages by their names; that of a single one under an empty name.
    """
    machines = _machines(config)
    if machines is None:
        return
    models = {name: str(each.model) for name, each in configs.items() if each.model}
    models |= {"prepare": shape_name(config)} if config.prepare.maker else {}
    for name, each in configs.items():
        if each.starts_actors:
            _check_stage(replace(each, plan=machines), name, models)


def _check_stage(config: RunConfig, name: str, models: Mapping[str, str]) -> None:
    try:
        plan = plan_run(config, name=name, models=models)
    except UserError:
        return  # of a shape that cannot be read: the stage itself says what is wrong with its model
    lacking = tuple(problem for problem in plan.problems if problem.lacks_memory)
    if lacking:
        plan = replace(plan, problems=lacking)
        raise UserError(refusal(plan, nearest_change(plan, models=models)))


def _machines(config: RunConfig) -> PlanConfig | None:
    """Return what is known of the machines; None where that is too little."""
    plan, is_here = config.plan, not is_remote(config.cluster.address)
    if gpu_name(config) == CPU.name:
        return replace(plan, gpu=CPU.name) if is_here or plan.memory_gib is not None else None
    known = with_memory(plan) if is_here and local_gpus() else plan
    if known.gpu is not None or known.memory_gib is not None:
        return known
    asks_for_gpus = config.learner.gpus_per_rank or config.rollout.gpus_per_actor
    return replace(plan, gpu=CPU.name) if is_here and not local_gpus() and not asks_for_gpus else None
