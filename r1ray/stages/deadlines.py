"""The deadlines of a stage, decided before it starts anything."""

from __future__ import annotations

from dataclasses import asdict, replace

from r1ray.cluster.joining import is_remote, local_gpus
from r1ray.config import DeadlineConfig, RunConfig
from r1ray.config.values import MAX_SECONDS
from r1ray.errors import UserError
from r1ray.planning.gpus import CPU
from r1ray.planning.plan import plan_run


def with_deadlines(config: RunConfig) -> RunConfig:
    """The configuration of one stage with every deadline a number. They are of the machines that ``plan`` describes; of
    this machine's CPUs, where the run starts Ray here and there is no GPU. The least of each, where the shape of the
    model cannot be read."""
    if not config.starts_actors:
        return config  # waits for nobody
    planned = config
    if config.plan.gpu is None and not is_remote(config.cluster.address) and not local_gpus():
        planned = replace(config, plan=replace(config.plan, gpu=CPU.name))
    try:
        decided = plan_run(planned).deadlines
    except UserError:
        decided = config.deadlines.decided
    bounded = {key: min(value, MAX_SECONDS) for key, value in asdict(decided).items()}
    return replace(config, deadlines=DeadlineConfig(**bounded))
