"""The Ray cluster of a command: one that is there and answers, or one of its own on this machine."""

from __future__ import annotations

import atexit
import logging
import os
from contextlib import nullcontext
from pathlib import Path

import ray
from ray.exceptions import RayError

from r1ray.cluster import head_watch
from r1ray.cluster.reachable import why_unreachable
from r1ray.errors import UserError
from r1ray.runtime.activity import waiting
from r1ray.runtime.scratch import Scratch
from r1ray.runtime.termination import kept_handler

logger = logging.getLogger(__name__)
JOIN_S = 10.0


def connect(address: str | None) -> tuple[float, float]:
    """Join the cluster at ``address``, that of the job or of RAY_ADDRESS, or start one on this machine for this
    process. Returns its CPUs and GPUs. Raises UserError where none answers."""
    if not ray.is_initialized():
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
        where = reachable(address)
        scratch = _scratch(has_own_cluster=where is None)
        if where is not None:
            key, target = where
            try:
                with kept_handler(), waiting(f"the cluster at {target}"):
                    ray.init(address=target, log_to_driver=False)
            except (ConnectionError, RuntimeError, ValueError, RayError) as error:
                reason = str(error).partition("\n")[0]
                raise UserError(f"{key}={target}: cannot be joined: {reason.rstrip('.')}. {_about_token()}") from error
        else:
            # "local": without an address Ray would join whatever cluster was last started on this machine.
            own = {"address": "local", "num_cpus": available_cpus(), "include_dashboard": False}
            own |= {"_temp_dir": str(scratch.folder)} if scratch is not None else {}
            inherited = scratch.inherited() if scratch is not None else nullcontext()
            with kept_handler(), inherited, waiting("Ray to start on this machine"):
                ray.init(**own, log_to_driver=False, logging_level="ERROR")
        head_watch.watch()
    total = ray.cluster_resources()
    return total.get("CPU", 0.0), total.get("GPU", 0.0)


def _about_token() -> str:
    """Return what may be amiss where a cluster answers and lets nobody in: its nodes take a token that is on their
    disks without being asked to, and who joins them does not."""
    if os.environ.get("RAY_AUTH_MODE") == "token":
        return "It may have another token than RAY_AUTH_TOKEN or ~/.ray/auth_token has here."
    return "If its nodes have a token (~/.ray/auth_token), set RAY_AUTH_MODE=token."


_current: Scratch | None = None


def scratch_environment() -> dict[str, str]:
    """Return what actors have to find in their environment to use this command's scratch folder."""
    return _current.environment if _current is not None else {}


def _scratch(*, has_own_cluster: bool) -> Scratch | None:
    """Return the scratch folder of this command, which is cleared when it ends; None where none can be made."""
    global _current
    if _current is None:
        try:
            _current = Scratch(has_own_cluster=has_own_cluster)
        except OSError as error:
            logger.warning("no folder for temporary files: %s; some will be left behind", error)
            return None
        atexit.register(_leave)
    return _current


def _leave() -> None:
    """End what Ray runs for this command, and remove what is left."""
    global _current
    ray.shutdown()
    if _current is not None:
        _current.end()
        _current = None


def reachable(address: str | None) -> tuple[str, str] | None:
    """The key and the address of the cluster that this process is going to join; None where it has joined one, or is
    going to start one. Raises UserError where no Ray answers."""
    target = address or os.environ.get("RAY_ADDRESS")
    if not target or ray.is_initialized():
        return None
    key = "cluster.address" if address else "RAY_ADDRESS"
    if problem := why_unreachable(target, timeout_s=JOIN_S):
        raise UserError(f"{key}={target}: {problem}; needs the HOST:PORT of a running cluster's first node.")
    return key, target


def available_cpus() -> int:
    """CPUs that this process may use."""
    return len(os.sched_getaffinity(0))


def is_remote(address: str | None) -> bool:
    """Whether a cluster is joined, instead of starting one on this machine."""
    return bool(address or os.environ.get("RAY_ADDRESS") or ray.is_initialized())


def local_gpus() -> int:
    """NVIDIA GPUs of this machine that this process may use; looked up without loading CUDA."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is not None:
        return len([device for device in visible.split(",") if device.strip() not in ("", "-1")])
    return len([path for path in Path("/dev").glob("nvidia*") if path.name.removeprefix("nvidia").isdigit()])
