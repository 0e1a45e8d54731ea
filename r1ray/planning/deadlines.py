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

ENDING_MULTIPLE = 2.0
"""Factor on the time that is expected until a run ends: an estimate may be off by as much."""
LEAVING_S = 120.0
"""Time for actors to leave, beside what is computed."""


def ending_seconds(config: RunConfig, step: Step, *, evaluation_s: float, checkpoint_bytes: float) -> float:
    """Return how long a run takes from SIGTERM to its end. It finishes the updates and the publish of a step, or an
    evaluation, that have begun, and the checkpoint. Generation is left where it is, unless minibatches stream: then a
    step begins with its first.

    Args:
        evaluation_s: of one evaluation between two steps.
        checkpoint_bytes: of one checkpoint, of all ranks together; one may still be being written before it.
    """
    begun = step.learn + step.publish + step.hand_over
    if config.algo.stream_minibatches:
        begun = max(begun, step.total)
    written = 2 * checkpoint_bytes / (config.plan.storage_gb_s * GB)
    return ENDING_MULTIPLE * (begun + evaluation_s + written) + LEAVING_S


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
