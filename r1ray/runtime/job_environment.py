"""Environment variables that ``r1ray submit --env`` sends with a job.

values --write_package--> MODULE/ --Ray, a package of the job--> every node --adopt--> os.environ of driver and actors

Ray writes a job's own ``env_vars`` into logs of its nodes, and keeps them with the job. Packages it knows by a digest.
They lie in Ray's folder of each node, where its own user alone may read this one.
"""

from __future__ import annotations

import importlib.util
import json
import os
import secrets
from collections.abc import Mapping
from pathlib import Path

MODULE, FILE = "r1ray_job_environment", "values.json"
KEPT = "R1RAY_KEPT"
"""The variable that names those which r1ray itself has set for an actor: they stay."""
TOO_LATE = ("LD_", "PYTHON", "RAY_", "R1RAY_", "CUDA_VISIBLE_DEVICES")
"""Beginnings of names that Python, Ray or r1ray have read before a job's own variables are there."""

_adopted = False


def write_package(folder: Path, values: Mapping[str, str]) -> Path:
    """Make the package in a folder; return its path."""
    package = folder / MODULE
    package.mkdir(mode=0o700)
    # Ray names packages by their contents: nobody is to try out which value gives that name.
    text = json.dumps({"values": dict(values), "salt": secrets.token_hex(16)})
    (package / FILE).write_text(text)
    (package / FILE).chmod(0o600)
    return package


def adopt() -> None:
    """Set the variables of the job that this process belongs to, once; nothing where it belongs to none."""
    global _adopted
    if _adopted:
        return
    _adopted = True
    spec = importlib.util.find_spec(MODULE)
    if spec is None or not spec.submodule_search_locations:
        return
    path = Path(next(iter(spec.submodule_search_locations))) / FILE
    path.chmod(0o600)
    kept = os.environ.get(KEPT, "").split(",")
    values = json.loads(path.read_text())["values"]
    os.environ.update({name: value for name, value in values.items() if name not in kept})
