"""Losses that are not finite: their groups are written to a separate file, for people to look at."""

from __future__ import annotations

from dataclasses import replace

from r1ray.errors import InfrastructureError, NonFiniteLoss, R1RayError
from r1ray.interfaces import Recorder
from r1ray.loop.batch import Batch


async def set_aside(error: NonFiniteLoss, batch: Batch, recorder: Recorder, *, step: int) -> R1RayError:
    """Write the groups of the batch of ``step`` that ``error`` names; return the exception to raise."""
    named = [replace(record, status="not_finite") for record in batch.records if record.group_id in error.group_ids]
    try:
        where = f"are in {await recorder.set_aside(step, named)}"
    except InfrastructureError as failure:
        where = f"could not be written ({failure})"
    return R1RayError(
        f"the loss of step {step} is not finite for groups {', '.join(error.group_ids)}, which "
        f"{where}; the parameters are as the last update left them. Look at their rewards and log-probabilities; "
        "a lower learner.lr, or going on from an earlier checkpoint, is the usual way out"
    )
