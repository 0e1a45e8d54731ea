"""The needs of trackers, looked for before anything starts; and how each is made in its helper."""

from __future__ import annotations

import netrc
import os
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import urlsplit

from r1ray.errors import UserError
from r1ray.telemetry.trackers.tracker import Place, Tracker

PACKAGES = {
    "tensorboard": ("tensorboard",),
    "wandb": ("wandb",),
    "trackio": ("trackio",),
    "mlflow": ("mlflow", "sqlalchemy", "alembic"),
}
"""Modules of each tracker, whose name is also that of its extra."""


def check_needs(names: Sequence[str]) -> None:
    """Raise UserError where a tracker's package, or its credentials, are missing."""
    for name in names:
        absent = [package for package in PACKAGES[name] if find_spec(package) is None]
        if absent:
            raise UserError(
                f"trackers=[{','.join(names)}]: {name} needs the package {absent[0]}, which is not installed; "
                f"needs pip install 'r1ray[{name}]', or trackers without {name}."
            )
    if "wandb" in names:
        _check_wandb()
    if "mlflow" in names:
        _check_mlflow()


def made(name: str, place: Place) -> Tracker:
    """Return a tracker. Its library is imported here, in the helper alone."""
    if name == "tensorboard":
        from r1ray.telemetry.trackers.to_tensorboard import ToTensorBoard

        return ToTensorBoard()
    if name == "wandb":
        from r1ray.telemetry.trackers.to_wandb import ToWandb

        return ToWandb(place)
    if name == "trackio":
        from r1ray.telemetry.trackers.to_trackio import ToTrackio

        return ToTrackio(place)
    from r1ray.telemetry.trackers.to_mlflow import ToMLflow

    return ToMLflow(place)


def _check_wandb() -> None:
    if os.environ.get("WANDB_MODE", "online") not in ("online", "shared"):
        return
    given = os.environ.get("WANDB_API_KEY") or os.environ.get("WANDB_IDENTITY_TOKEN_FILE")
    host = urlsplit(os.environ.get("WANDB_BASE_URL", "https://api.wandb.ai")).hostname or ""
    if not given and not _is_in_netrc(host):
        raise UserError(
            f"trackers: wandb has no credentials for {host}: needs WANDB_API_KEY in the environment or `wandb login`; "
            "or WANDB_MODE=offline, which writes what `wandb sync` sends later."
        )


def _is_in_netrc(host: str) -> bool:
    path = Path(os.environ.get("NETRC") or Path.home() / ".netrc")
    try:
        return netrc.netrc(str(path)).authenticators(host) is not None
    except (OSError, netrc.NetrcParseError):
        return False


def _check_mlflow() -> None:
    """A password in an address would be in what MLflow logs of its requests."""
    for variable in ("MLFLOW_TRACKING_URI", "MLFLOW_REGISTRY_URI"):
        where = urlsplit(os.environ.get(variable, ""))
        if where.password and where.scheme.startswith("http"):
            raise UserError(
                f"{variable} has a password for {where.hostname}: needs it in MLFLOW_TRACKING_USERNAME and "
                "MLFLOW_TRACKING_PASSWORD instead, which are not logged."
            )
