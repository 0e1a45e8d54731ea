"""Deadlines of a run from what its phases are expected to take."""

from __future__ import annotations

from dataclasses import asdict

from r1ray.config import Deadlines, RunConfig
from r1ray.planning.batch import Batch
from r1ray.planning.duration import Step
from r1ray.planning.gpus import GB
from r1ray.planning.memory import DTYPE_BYTES, Actor
from r1ray.planning.shapes import Shape

MULTIPLE = 3.0
"""Of what a phase is expected to take: after so long, something is wrong."""


def planned_deadlines(
    config: RunConfig, shape: Shape, batch: Batch, step: Step, *, engines: Actor | None, checkpoint_bytes: float
) -> Deadlines:
    """A multiple of each phase's estimate and not below the least; what the user set as it is.

    Args:
        checkpoint_bytes: of one checkpoint, of all ranks together.
    """
    storage = config.plan.storage_gb_s * GB
    generate = step.generate
    if config.only_samples and engines is not None:
        # The estimate is of all requests, and the deadline of one: it is done with those that are sampled beside it.
        waves = max(1.0, batch.completions / max(1.0, step.concurrency * engines.count))
        generate *= batch.longest_completion / batch.completion_tokens / waves
    expected = {
        "start_s": shape.parameters * (1 if shape.is_fp8 else DTYPE_BYTES[shape.checkpoint_dtype]) / storage,
        "generate_s": generate,
        "learn_s": step.learn,
        "publish_s": step.publish + step.hand_over,
        "checkpoint_s": checkpoint_bytes / storage,
    }
    least = asdict(Deadlines())
    planned = {key: max(least[key], float(round(MULTIPLE * seconds))) for key, seconds in expected.items()}
    return Deadlines(**(planned | config.deadlines.given))
