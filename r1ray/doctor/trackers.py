"""The needs of a run's trackers: their packages, and credentials where they want some."""

from __future__ import annotations

from collections.abc import Sequence

from r1ray.doctor.findings import DRIVER, Finding
from r1ray.doctor.judging import green, red
from r1ray.errors import UserError
from r1ray.telemetry.trackers.needs import check_needs


def check_trackers(names: Sequence[str]) -> list[Finding]:
    """Return a finding for each tracker, in the driver's environment, where its helper will run."""
    return [_check(name) for name in names]


def _check(name: str) -> Finding:
    needed = "its package and credentials"
    try:
        check_needs([name])
    except UserError as error:
        return red("trackers", DRIVER, str(error), needed, f"install or set it, or leave {name} out of trackers.")
    return green("trackers", DRIVER, f"{name} can be imported and has what it needs", needed)
