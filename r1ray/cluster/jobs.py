"""Runs as Ray jobs: submitted, found again, followed and stopped by the run's name, over the job server's HTTP.

The working directory travels with the job, and is where its reward functions are found. Whatever a run reads and
writes has to be on storage that every node sees.
"""

from __future__ import annotations

import asyncio
import logging
import os
import re
import shlex
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
from ray._private.runtime_env.packaging import _dir_travel, _get_excludes
from ray.exceptions import AuthenticationError
from ray.job_submission import JobDetails, JobStatus, JobSubmissionClient

from r1ray.errors import InfrastructureError, UserError
from r1ray.runtime.exit_codes import FAULT, TERMINATED
from r1ray.runtime.job_environment import write_package

logger = logging.getLogger(__name__)

EXCLUDES = (
    *(".git", ".venv", "venv", "__pycache__", ".mypy_cache", ".pytest_cache", ".ruff_cache", ".hypothesis"),
    *("/runs", "/outputs", "checkpoints", "wandb", "mlruns", "*.safetensors", "*.ckpt", "*.pt", "*.pth", ".env"),
)
"""What of the working directory stays, as in a .gitignore; so does what .gitignore and .rayignore files name."""
MAX_BYTES = 256 * 2**20
"""Of the working directory. Ray keeps it in the head node's memory, and takes no more than about twice this."""
STOP_GRACE_S = 600
"""Least time that a job which is asked to stop has for its step and a checkpoint, after which it is killed."""
REQUEST_S = (10.0, 300.0)
"""To connect, and to answer; an upload counts as one answer."""
AGENT_S = 90.0
"""The job server answers before the node that would take a job does."""
SILENCE_S = 60.0
"""Without a line, after which the connection to a log is made anew: one that was cut may look open for ever."""
RECONNECT_S = 600.0
"""Without any contact, after which a job is no longer followed."""
RUN, SETTINGS, GRACE = "r1ray_run", "r1ray_settings", "r1ray_stop_grace_s"
"""Metadata of a job."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Entrypoint:
    """The process of a job that starts all others, and what it takes of the node where it runs. If nothing is said,
    that is the head, and it takes nothing."""

    command: str
    """A shell's command line."""
    num_cpus: float | None = None
    memory: int | None = None
    """Unit: bytes."""
    resources: Mapping[str, float] = field(default_factory=dict)
    labels: Mapping[str, str] = field(default_factory=dict)

    @property
    def options(self) -> dict[str, Any]:
        """Return Ray's own arguments."""
        return {
            "entrypoint": self.command,
            "entrypoint_num_cpus": self.num_cpus,
            "entrypoint_memory": self.memory,
            "entrypoint_resources": dict(self.resources) or None,
            "entrypoint_label_selector": dict(self.labels) or None,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """One submission of a run."""

    id: str
    status: JobStatus
    settings: str
    message: str
    exit_code: int | None
    """Of the entrypoint, once it has ended by itself; minus the signal's number where one ended it."""
    start_ms: int
    stop_grace_s: float = STOP_GRACE_S
    """Time that it has to end by itself when it is asked to."""

    @property
    def is_over(self) -> bool:
        return bool(self.status.is_terminal())


def entrypoint_of(arguments: Sequence[str]) -> str:
    """Return the shell's command line of a job, in which every argument is what it is here."""
    return shlex.join(["python", "-m", "r1ray", *arguments])


class _Client(JobSubmissionClient):
    """Ray's, whose requests would wait for ever for a server that does not answer."""

    def _do_request(self, *arguments: Any, **keywords: Any) -> Any:
        return super()._do_request(*arguments, **({"timeout": REQUEST_S} | keywords))


class Jobs:
    """The job server of a cluster."""

    def __init__(self, address: str | None = None) -> None:
        """Connects to ``http://HEAD:8265``, or to what RAY_API_SERVER_ADDRESS or RAY_ADDRESS say. Raises UserError."""
        names = ("RAY_API_SERVER_ADDRESS", "RAY_ADDRESS")
        given = address or next((os.environ[name] for name in names if os.environ.get(name)), "")
        if not given.startswith(("http://", "https://")):
            raise UserError(
                f"--address={given or 'None'}: needs the job server of a Ray cluster, http://HEAD:8265 (or RAY_ADDRESS "
                "in the environment)."
            )
        for name in names:
            os.environ.pop(name, None)  # Ray lets them decide over an address that is given
        for name in ("ray", "ray.dashboard.modules.job.sdk", "ray.dashboard.modules.dashboard_sdk"):
            logging.getLogger(name).setLevel(logging.ERROR)  # a line for every file that is left out
        self.address = given
        try:
            self._client = _Client(given)
        except AuthenticationError as error:
            raise UserError(
                f"--address={given}: the cluster refuses the connection: set RAY_AUTH_MODE=token, and RAY_AUTH_TOKEN "
                f"or ~/.ray/auth_token, as on its nodes. {_line(error)}"
            ) from error
        except (OSError, RuntimeError, ValueError) as error:  # requests' own errors are OSErrors
            raise UserError(f"--address={given}: no job server answers there: {_line(error)}") from error

    def of_run(self, name: str) -> list[Job]:
        """Every job of a run, the oldest first."""
        details = self._ask(self._client.list_jobs)
        jobs = [_job(each) for each in details if (each.metadata or {}).get(RUN) == name and each.submission_id]
        return sorted(jobs, key=lambda job: job.start_ms)

    def submit(
        self,
        name: str,
        entrypoint: Entrypoint,
        *,
        settings: str,
        folder: Path,
        excludes: Sequence[str],
        env: Mapping[str, str],
        stop_grace_s: float = STOP_GRACE_S,
    ) -> str:
        """Submit a job of the run; returns its id: ``r1ray-NAME``, ``r1ray-NAME-2`` the next time.

        Args:
            settings: digest of what makes the run the one that it is.
            folder: the working directory.
            excludes: what of it stays, beside :data:`EXCLUDES`.
            env: variables of the environment of all its processes, which no log has.
            stop_grace_s: time that it has to end by itself when it is asked to.
        """
        excludes = [*EXCLUDES, *excludes]
        check_size(folder, excludes)
        with tempfile.TemporaryDirectory(prefix="r1ray-submit-") as aside:
            runtime_env: dict[str, Any] = {
                "working_dir": str(folder),
                "excludes": excludes,
                # Python's output as it comes; the grace is read by the job's supervisor.
                "env_vars": {"PYTHONUNBUFFERED": "1", "RAY_JOB_STOP_WAIT_TIME_S": f"{stop_grace_s:.0f}"},
            }
            if env:
                runtime_env["py_modules"] = [str(write_package(Path(aside), env))]
            metadata = {RUN: name, SETTINGS: settings, GRACE: f"{stop_grace_s:.0f}"}
            return self._submit(name, entrypoint, metadata=metadata, runtime_env=runtime_env)

    def _submit(
        self, name: str, entrypoint: Entrypoint, *, metadata: dict[str, str], runtime_env: dict[str, Any]
    ) -> str:
        """Submit under the first id that is free, as soon as there is a node for the job."""
        settings = metadata[SETTINGS]
        number = len(self.of_run(name)) + 1
        base = "r1ray-" + re.sub(r"[^A-Za-z0-9_.-]+", "-", name)
        deadline = time.monotonic() + AGENT_S
        while True:
            try:
                submitted: str = self._client.submit_job(
                    submission_id=base if number == 1 else f"{base}-{number}",
                    metadata=metadata,
                    runtime_env=dict(runtime_env),
                    **entrypoint.options,
                )
                return submitted
            except (OSError, RuntimeError) as error:
                if "already exists" in str(error):  # of a run with a similar name, or of another client just now
                    live = [job.id for job in self.of_run(name) if not job.is_over and job.settings == settings]
                    if live:
                        return live[-1]
                    number += 1
                elif "No available agent" not in str(error):
                    raise InfrastructureError(f"{self.address} did not take the job: {_line(error)}") from error
                if time.monotonic() > deadline:
                    raise InfrastructureError(f"{self.address} had no node for the job within {AGENT_S:g} s") from error
                time.sleep(1.0)

    def job(self, job: str) -> Job:
        """What is known of a job."""
        return _job(self._ask(lambda: self._client.get_job_info(job)))

    def stop(self, job: str) -> Job:
        """Ask a job to end and wait until it has; returns how it ended."""
        grace_s = self.job(job).stop_grace_s
        self._ask(lambda: self._client.stop_job(job))
        deadline = time.monotonic() + grace_s + 60
        logger.info(
            f"{job}: asked to stop; it ends after its step, with a checkpoint, or is killed after {grace_s:g} s"
        )
        while not (state := self.job(job)).is_over:
            if time.monotonic() > deadline:
                raise InfrastructureError(
                    f"{job} was asked to stop and is {state.status} after {grace_s + 60:g} s: look at the head node"
                )
            time.sleep(1.0)
        return state

    def follow(self, job: str, *, show: Callable[[str], None]) -> Job:
        """Show a job's log from its beginning as it grows, until the job is over; returns how it ended. A connection
        that breaks is made again. Raises InfrastructureError after RECONNECT_S without any."""
        return asyncio.run(self._follow(job, show))

    async def _follow(self, job: str, show: Callable[[str], None]) -> Job:
        shown, contact = 0, time.monotonic()
        while True:
            seen = 0  # a new connection begins with the log's first line
            try:
                lines = self._client.tail_job_logs(job)
                while True:
                    async with asyncio.timeout(SILENCE_S):
                        text = await anext(lines)
                    seen, contact = seen + len(text), time.monotonic()
                    if seen > shown:
                        show(text[-(seen - shown) :])
                        shown = seen
            except (StopAsyncIteration, TimeoutError):
                pass
            except (aiohttp.ClientError, OSError, RuntimeError) as error:
                logger.warning(f"{job}: connection lost ({_line(error)}); connecting again")
            try:
                state = self.job(job)
                contact = time.monotonic()
                if state.is_over:
                    return state
            except InfrastructureError as error:
                if time.monotonic() - contact > RECONNECT_S:
                    raise InfrastructureError(
                        f"no contact for {RECONNECT_S:g} s; the job may go on. {error}"
                    ) from error
            await asyncio.sleep(1.0)

    def _ask(self, request: Callable[[], Any]) -> Any:
        try:
            return request()
        except (OSError, RuntimeError) as error:
            raise InfrastructureError(f"{self.address}: {_line(error)}") from error


def exit_code(job: Job) -> int:
    """Of a job that is over, in the terms of :mod:`r1ray.runtime.exit_codes`: that of the run; as a shell says it
    where a signal ended it, which is what stopping does; FAULT where the cluster failed."""
    if job.status == JobStatus.SUCCEEDED:
        return 0
    if job.status == JobStatus.STOPPED:
        return TERMINATED
    code = FAULT if job.exit_code is None else job.exit_code
    return 128 - code if code < 0 else code or FAULT


def check_size(folder: Path, excludes: Sequence[str]) -> None:
    """Raise UserError where the working directory is too big to travel."""
    sizes: list[tuple[int, Path]] = []

    def note(path: Path) -> None:
        if path.is_file():
            sizes.append((path.stat().st_size, path))

    with_gitignore = os.environ.get("RAY_RUNTIME_ENV_IGNORE_GITIGNORE") != "1"
    _dir_travel(folder, [_get_excludes(folder, list(excludes))], note, include_gitignore=with_gitignore)
    total = sum(size for size, _ in sizes)
    if total > MAX_BYTES:
        largest = [f"{path.relative_to(folder)} ({size / 2**20:.0f} MiB)" for size, path in sorted(sizes)[:-4:-1]]
        raise UserError(
            f"{folder} travels with the job and has {total / 2**20:.0f} MiB, more than {MAX_BYTES // 2**20}; the "
            f"largest: {', '.join(largest)}. Submit from a folder of code, or name what stays in a .gitignore or "
            ".rayignore."
        )


def _job(details: JobDetails) -> Job:
    metadata = details.metadata or {}
    return Job(
        id=details.submission_id,
        status=JobStatus(details.status),
        settings=metadata.get(SETTINGS, ""),
        stop_grace_s=float(metadata.get(GRACE, STOP_GRACE_S)),
        message=details.message or "",
        exit_code=details.driver_exit_code,
        start_ms=details.start_time or 0,
    )


def _line(error: BaseException) -> str:
    """The last line of what an error says, which is where Ray and requests put the cause."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1] if lines else type(error).__name__
