"""Compute the loss and the gradient of a logged step again, and compare them with what was logged.

checkpoint before the step --> learner --train on the stored trajectories--> StepStats <--> the line of metrics.jsonl

The learner is that of a run, and makes the updates of the step in memory; the run's folder is only read.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, replace

from r1ray.config import LearnerConfig
from r1ray.errors import UserError
from r1ray.loop.batch import make_shards, parts_of_step
from r1ray.runtime.deadline import within
from r1ray.runtime.model_files import local_folder
from r1ray.stages.replayable import RunLog, Source
from r1ray.stages.teachers import with_local_teachers
from r1ray.types import StepStats

KEYS = ("loss/policy", "loss/total", "grad_norm", "kl/ref", "teacher/kl", "entropy", "lr")
"""Metrics that are compared; those that jump where a token crosses a bound (``clip_fraction``) are not."""
RELATIVE = {"float32": 1e-4, "bfloat16": 2e-2}
"""Tolerance by ``learner.dtype``, of a metric's size."""
SIZES = {"loss/policy": 0.1, "loss/total": 0.1, "lr": 0.0}
"""Least size of a metric. A loss is a sum of advantages of about 1 that cancel: its rounding is of their size."""
LEAST = 1e-3
"""Least size of the other metrics."""


@dataclass(frozen=True, slots=True)
class Compared:
    """One metric of a step, as it was logged and as it is now."""

    key: str
    logged: float
    replayed: float
    allowed: float
    """The largest difference that still counts as none."""

    @property
    def difference(self) -> float:
        return self.replayed - self.logged

    @property
    def agrees(self) -> bool:
        return abs(self.difference) <= self.allowed  # not a number is in no range


def replay_step(log: RunLog, source: Source) -> list[Compared]:
    """Compute a step again. Returns its metrics beside the logged ones. Raises UserError where the model is gone, or
    the learner of the run cannot be started here."""
    if log.config.learner.router.replay:
        raise UserError(
            f"{log.folder}: learner.router.replay=true: rollouts/ does not keep the experts that engines chose; needs "
            "a run without it."
        )
    local_folder(source.model, key="model")
    stats = asyncio.run(_train(log, source))
    return compare(source.logged, stats.metrics, log.config.learner)


def compare(logged: Mapping[str, float], replayed: Mapping[str, float], learner: LearnerConfig) -> list[Compared]:
    """Return the metrics that both have, each with its tolerance."""
    relative = RELATIVE[learner.dtype]
    return [
        Compared(key, logged[key], replayed[key], relative * _size(key, logged[key], replayed[key]))
        for key in KEYS
        if key in logged and key in replayed
    ]


def _size(key: str, *values: float) -> float:
    return max(SIZES.get(key, LEAST), *map(abs, values))


async def _train(log: RunLog, source: Source) -> StepStats:
    """Start the learner of a run, restore it, and train it on the stored trajectories of a step."""
    from r1ray.cluster.launch import GRPO, launch_learner

    config, stored = replace(log.config, output_dir=str(log.folder.parent)), log.read(source.step)
    deadlines, step, start = config.deadlines.decided, source.step, 0
    running = await launch_learner(
        config,
        model=source.model,
        learner=GRPO,
        num_updates=config.num_updates,
        settings=(with_local_teachers(config.algo),),
    )
    try:
        if source.checkpoint is not None:
            loading = running.learner.load(source.checkpoint)
            owner, key = "the learner group (loading the checkpoint)", "deadlines.checkpoint_s"
            await within(deadlines.checkpoint_s, loading, waiter="the replay", owner=owner, key=key)
        for part in parts_of_step(config.algo):
            groups = stored.groups[start : start + part.num_groups]
            shards = make_shards(groups, part, config, step=step, version=source.version)
            training = running.learner.train_rows(shards, stored.trajectories, has_more=not part.is_last)
            owner, key = "the learner group", "deadlines.learn_s"
            stats = await within(deadlines.learn_s, training, waiter="the replay", owner=owner, key=key)
            start += part.num_groups
        return stats
    finally:
        running.shutdown()
