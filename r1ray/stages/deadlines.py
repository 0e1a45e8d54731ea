"""The deadlines of a stage, and the turns of engines and learner, decided before it starts anything."""

from __future__ import annotations

from dataclasses import asdict, replace

from r1ray.cluster.joining import is_remote, local_gpus
from r1ray.config import ColocatedConfig, DeadlineConfig, Deadlines, RunConfig
from r1ray.config.values import MAX_SECONDS
from r1ray.errors import UserError
from r1ray.planning.gpus import CPU
from r1ray.planning.plan import plan_run
from r1ray.stages.machine import with_memory


def with_deadlines(config: RunConfig) -> RunConfig:
    """The configuration of one stage with every deadline a number, and with the turns of engines and learner decided.
    They are of the machines that ``plan`` describes; of this machine, where the run starts Ray here and ``plan`` does
    not say: of its CPUs, or its GPU's memory. The least of each deadline, where the shape of the model cannot be
    read."""
    if not config.starts_actors:
        return config  # waits for nobody
    planned = config
    if not is_remote(config.cluster.address):
        open_ = replace(config.plan, gpu=config.plan.gpu or CPU.name)
        planned = replace(config, plan=with_memory(config.plan) if local_gpus() else open_)
    try:
        plan = plan_run(planned)
    except UserError:
        return _decided(config, config.deadlines.decided)
    if plan.turns is not None:
        turns = ColocatedConfig(sleep_level=plan.turns.sleep_level, offload=plan.turns.offload)
        config = replace(config, colocated=turns)
    return _decided(config, plan.deadlines)


def _decided(config: RunConfig, deadlines: Deadlines) -> RunConfig:
    bounded = {key: min(value, MAX_SECONDS) for key, value in asdict(deadlines).items()}
    return replace(config, deadlines=DeadlineConfig(**bounded))
