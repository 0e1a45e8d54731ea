"""Trackers: programs that show runs, and get a run's metrics while it goes on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from r1ray.config.values import MAX_SECONDS, at_least, between

TRACKERS = ("tensorboard", "wandb", "trackio", "mlflow")


@dataclass
class TrackingConfig:
    """The settings of ``trackers``. Servers and credentials are in the environment, as each of them reads it
    (``WANDB_API_KEY``, ``WANDB_MODE``, ``MLFLOW_TRACKING_URI``, ``TRACKIO_SPACE_ID``)."""

    project: str = "r1ray"
    """Project of Weights & Biases and of Trackio, and experiment of MLflow, that the run is in."""
    samples: int = 16
    """Prompts of each evaluation that are shown with one answer each, and its reward. 0: none."""
    end_s: float = 30.0
    """Longest time that the end of a run waits for trackers that have not got everything. What is missing then is sent
    when the same command is run again. Unit: seconds."""

    def __post_init__(self) -> None:
        at_least("tracking.samples", self.samples, 0)
        between("tracking.end_s", self.end_s, 0, MAX_SECONDS)


def check_trackers(names: Sequence[str]) -> None:
    """Raise ValueError for a tracker that there is not, or that is named twice."""
    for number, name in enumerate(names):
        if name not in TRACKERS:
            raise ValueError(f"trackers=[{','.join(names)}]: {name} is none; needs some of {', '.join(TRACKERS)}.")
        if name in names[:number]:
            raise ValueError(f"trackers=[{','.join(names)}]: {name} is named twice; needs each once.")
