"""``r1ray submit``: the same run as a job of a Ray cluster, found again by the run's name."""

from __future__ import annotations

import argparse
import logging
import math
import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from r1ray.commands.arguments import Parser
from r1ray.commands.compose import compose
from r1ray.commands.run_folder import default_name
from r1ray.config import RunConfig, decisive, without_defaults
from r1ray.config.keys import sections_of
from r1ray.config.values import MAX_SECONDS
from r1ray.errors import UserError
from r1ray.runtime.exit_codes import DONE, INTERRUPTED, TERMINATED
from r1ray.runtime.files import digest_of
from r1ray.runtime.job_environment import TOO_LATE
from r1ray.runtime.termination import was_terminated

if TYPE_CHECKING:
    from r1ray.cluster.jobs import Jobs
    from r1ray.stages.base import Stage

logger = logging.getLogger(__name__)


def parser() -> Parser:
    """Return the parser of the command's arguments."""
    made = Parser(
        "submit",
        "Run on a Ray cluster, as a job: follow its log and end with its exit code. The same command again follows\n"
        "the job, or resumes the run where it has ended. Ctrl-C leaves the job running.",
        usage="[the overrides of a run] | --stop NAME | --status NAME",
        examples="""
            r1ray submit --address http://HEAD:8265 model=/shared/model data.train=/shared/rows output_dir=/shared/runs
            r1ray submit --env HF_TOKEN --env HF_HOME=/shared/hub model=ORG/NAME data.train=... output_dir=/shared/runs
            r1ray submit --address http://HEAD:8265 --stop NAME
        """,
        sections=lambda: sections_of(RunConfig),
    )
    made.flags.add_argument("--address", metavar="URL", help="the cluster, http://HEAD:8265; by default RAY_ADDRESS")
    made.flags.add_argument("--env", **_several("NAME[=VALUE]", "a variable of the run's environment; from here"))
    driver = "of the process that starts the others"
    made.flags.add_argument(
        "--entrypoint-cpus", type=float, metavar="N", help=f"CPUs {driver}; without any, the head's"
    )
    made.flags.add_argument("--entrypoint-memory-gib", type=float, metavar="N", help=f"memory {driver}")
    made.flags.add_argument("--entrypoint-resource", **_several("NAME=N", f"a custom resource {driver}"))
    made.flags.add_argument("--entrypoint-label", **_several("NAME=VALUE", f"a label of the node {driver}"))
    one = made.flags.add_mutually_exclusive_group()
    one.add_argument("--no-wait", action="store_true", help="submit, and do not follow")
    one.add_argument("--stop", action="store_true", help="end the run after its step, with a checkpoint")
    one.add_argument("--status", action="store_true", help="list the jobs of the run")
    return made


def _several(metavar: str, meaning: str) -> dict[str, Any]:
    return {"action": "append", "default": [], "metavar": metavar, "help": f"{meaning}; may be given again"}


def command(arguments: Sequence[str]) -> int:
    """Submit a run and follow it, stop it, or list its jobs; returns the exit code of the run."""
    given = parser().read(arguments)
    is_asked = given.stop or given.status
    folder = _travelling(given.config_dir)
    env, options = _environment(given.env), _entrypoint_options(given)
    config = None if is_asked and _is_name(given.words) else _composed(given.words, folder)
    name = given.words[0] if config is None else config.name or default_name(config)
    from r1ray.cluster.jobs import Jobs

    jobs = Jobs(given.address)
    if is_asked:
        _report(jobs, name, is_stopped=given.stop)
        return DONE
    assert config is not None
    flags = [f"--config-dir={folder}"] if folder else []
    job_id = _running_job(jobs, name, config, [*flags, *given.words], env=env, options=options)
    return DONE if given.no_wait else _follow(jobs, job_id, name)


def _environment(given: Sequence[str]) -> dict[str, str]:
    """Return the variables of ``--env``; those without a value are this process's. Raises UserError, which has none of
    the values."""
    values = {}
    for each in given:
        name, has_value, value = each.partition("=")
        if not name.isidentifier():
            raise UserError(f"--env {name}: needs the name of a variable, NAME or NAME=VALUE.")
        if name.startswith(TOO_LATE):
            raise UserError(
                f"--env {name}: Python, Ray and r1ray have read it before a job's own variables are there; needs to be "
                "set where the cluster's nodes are started."
            )
        if not has_value and name not in os.environ:
            raise UserError(f"--env {name}: is not set here; needs {name}=VALUE, or the variable in this environment.")
        values[name] = value if has_value else os.environ[name]
    return values


def _entrypoint_options(given: argparse.Namespace) -> dict[str, Any]:
    """Return what the entrypoint takes, as :class:`r1ray.cluster.jobs.Entrypoint` has it. Raises UserError."""
    for name in ("cpus", "memory_gib"):
        value = getattr(given, f"entrypoint_{name}")
        if value is not None and not 0 < value < math.inf:
            raise UserError(f"--entrypoint-{name.replace('_', '-')} {value:g}: needs a number above 0.")
    memory = given.entrypoint_memory_gib
    resources = {}
    for name, value in _pairs("--entrypoint-resource", given.entrypoint_resource).items():
        try:
            resources[name] = float(value)
        except ValueError:
            resources[name] = math.nan
        if not 0 < resources[name] < math.inf:
            raise UserError(f"--entrypoint-resource {name}={value}: needs a number above 0.")
    return {
        "num_cpus": given.entrypoint_cpus,
        "memory": None if memory is None else int(memory * 2**30),
        "resources": resources,
        "labels": _pairs("--entrypoint-label", given.entrypoint_label),
    }


def _pairs(flag: str, given: Sequence[str]) -> dict[str, str]:
    pairs = dict(each.partition("=")[::2] for each in given)
    for name, value in pairs.items():
        if not name or not value:
            raise UserError(f"{flag} {name}: needs NAME=VALUE.")
    return pairs


def _is_name(words: Sequence[str]) -> bool:
    return len(words) == 1 and "=" not in words[0]


def _travelling(config_dir: str | None) -> str | None:
    """Return the path of ``--config-dir`` from the working directory, which goes to the cluster. Raises UserError."""
    if not config_dir:
        return config_dir
    folder, here = Path(config_dir).expanduser().resolve(), Path.cwd().resolve()
    if not folder.is_relative_to(here):
        raise UserError(f"--config-dir {config_dir}: needs a folder below {here}, which travels with the job.")
    return str(folder.relative_to(here))


def _composed(overrides: Sequence[str], config_dir: str | None) -> RunConfig:
    """Return a configuration whose paths mean the same everywhere. Raises UserError."""
    from r1ray.recipes import stages_of

    config = compose(overrides, config_dir=config_dir)
    _check_shared(config, stages_of(config))
    return config


def _check_shared(config: RunConfig, stages: Sequence[Stage]) -> None:
    """Raise UserError for paths that mean something on this machine only: a job has a working directory of its own."""
    inputs = [each for stage in stages for each in stage.reads() if not each.is_made]
    given = [(each.key, each.path, each.kind != "model") for each in inputs]  # a relative one may be a hub's name
    for key, path, is_path in [("output_dir", config.output_dir, True), *given]:
        is_here = is_path or path.startswith((".", "~")) or Path(path).exists()
        if "://" not in path and not Path(path).is_absolute() and is_here:
            raise UserError(f"{key}={path}: needs an absolute path, on storage that every node of the cluster sees.")


def _report(jobs: Jobs, name: str, *, is_stopped: bool) -> None:
    """Print the jobs of a run, after the one that runs was stopped if that is asked. Raises UserError."""
    from r1ray.cluster.jobs import exit_code

    found = jobs.of_run(name)
    if not found:
        raise UserError(f"{name}: {jobs.address} knows no job of a run of this name.")
    *before, newest = found
    if is_stopped and not newest.is_over:
        newest = jobs.stop(newest.id)
    for job in [*before, newest]:
        print(f"{job.id}  {job.status.value}" + (f"  exit code {exit_code(job)}" if job.is_over else ""))


def _stop_grace_s(config: RunConfig) -> float:
    """Return how long the run may take to end when it is asked to; the least where the plan cannot know."""
    from r1ray.cluster.jobs import STOP_GRACE_S
    from r1ray.planning.plan import plan_run, shape_name
    from r1ray.stages.graph import stage_config

    stages = {name: stage_config(config, name) for name in config.graph} or {"": config}
    models = {name: str(stage.model) for name, stage in stages.items() if stage.model}
    models |= {"prepare": shape_name(config)} if config.prepare.maker else {}
    found = [float(STOP_GRACE_S)]
    for name, stage in stages.items():
        if stage.starts_actors:
            with suppress(UserError):
                found.append(plan_run(stage, name=name, models=models).ending_s)
    return min(max(found), MAX_SECONDS)


def _running_job(
    jobs: Jobs,
    name: str,
    config: RunConfig,
    given: Sequence[str],
    *,
    env: Mapping[str, str],
    options: Mapping[str, Any],
) -> str:
    """Return the id of the job that runs, or of a new one if none does. Raises UserError for one of other settings."""
    from r1ray.cluster.jobs import Entrypoint, entrypoint_of

    settings = digest_of({"settings": without_defaults(decisive(config)), "output_dir": config.output_dir})
    newest = next(reversed(jobs.of_run(name)), None)
    if newest is None or newest.is_over:
        inside = Path(config.output_dir)
        excludes = [f"/{inside.relative_to(Path.cwd())}"] if inside.is_relative_to(Path.cwd()) else []
        named = [*given] if config.name else [*given, f"name={name}"]
        job_id = jobs.submit(
            name,
            Entrypoint(command=entrypoint_of(["run", *named]), **options),
            settings=settings,
            folder=Path.cwd(),
            excludes=excludes,
            env=env,
            stop_grace_s=_stop_grace_s(config),
        )
        resumes = f"; {newest.id} ended, the run resumes" if newest else ""
        logger.info(f"{job_id}: submitted to {jobs.address}{resumes}")
        return job_id
    if newest.settings != settings:
        raise UserError(
            f"name={name}: {newest.id} is running, with other settings or another output_dir; needs another name, or "
            f"an end to that one: {_stopping(jobs, name)}"
        )
    kept = f", with the environment that it began with (--env {' '.join(env)} changes nothing)" if env else ""
    logger.info(f"{newest.id}: runs already{kept}; following it")
    return newest.id


def _follow(jobs: Jobs, job_id: str, name: str) -> int:
    """Show a job's log until it ends; returns its exit code."""
    from r1ray.cluster.jobs import exit_code

    try:
        ended = jobs.follow(job_id, show=lambda text: print(text, end="", flush=True))
    except KeyboardInterrupt:
        again = _stopping(jobs, name)
        logger.info(f"{job_id} goes on; the same command follows it again, and this one stops it: {again}")
        return TERMINATED if was_terminated() else INTERRUPTED
    code = exit_code(ended)
    if code and ended.exit_code is None:
        logger.info(f"{job_id}: {ended.message}")  # not what the run said, but what became of it
    logger.info(f"{job_id}: {ended.status.value}, exit code {code}" + ("; the same command resumes it" if code else ""))
    return code


def _stopping(jobs: Jobs, name: str) -> str:
    return f"r1ray submit --address {jobs.address} --stop {name}"
