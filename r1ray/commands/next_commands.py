"""Commands that follow a run, as they have to be typed here."""

from __future__ import annotations

import json
import os
import shlex
from pathlib import Path
from typing import Any

from r1ray.commands.quoting import quoted
from r1ray.config import EnvironmentConfig, RunConfig

OF_TRAJECTORIES = (
    *("max_turns", "max_context_tokens", "max_trajectory_tokens", "on_full", "on_malformed"),
    *("renderer", "keep_reasoning", "reset_timeout_s", "step_timeout_s"),
)
"""Keys of ``environment`` that say how a trajectory goes."""


def next_commands(run_dir: Path, config: RunConfig, *, model: Path | None, held_out: Any) -> list[str]:
    """Return the commands, those first that need least.

    Args:
        model: a folder that the run has made.
        held_out: prompts, as ``data.eval`` names them; None: there are none.
    """
    run, commands = here(run_dir), []
    commands.append(_line("report", run))
    if model is not None and config.recipe == "collect":
        from r1ray.curation.card import DATA  # takes long, but for who has just written one

        commands.append(_line("run", "recipe=sft", "model=MODEL", f"supervised.train={here(model / DATA)}"))
    if model is None or not _answers(model):
        return commands
    commands.append(_line("chat", run))
    if (data := _source(held_out)) is not None and (worlds := _in_worlds(config)) is not None:
        words = (f"model={here(model)}", "benchmark=prompts", f"data={data}", *_asked_as(config), *worlds)
        commands.append(_line("eval", *words))
    return commands


def _answers(model: Path) -> bool:
    """Return whether a folder holds a language model, rather than rows, or a model that scores."""
    try:
        architectures = json.loads((model / "config.json").read_text(encoding="utf-8")).get("architectures")
    except (OSError, ValueError, AttributeError):
        return False
    return any(str(each).endswith("ForCausalLM") for each in architectures or ())


def here(path: Path) -> str:
    """Return a path as it is called from the current folder, if it is below that."""
    relative = os.path.relpath(path)
    return str(path) if relative.startswith("..") else relative


def _asked_as(config: RunConfig) -> list[str]:
    """Return the keys with which an evaluation asks as the run did."""
    data = config.data
    texts = {"template": data.template, "system_prompt": data.system_prompt, "suffix": data.suffix}
    words = [f"{key}={_text(value)}" for key, value in texts.items() if value is not None]
    return [*words, f"max_tokens={config.algo.max_completion_tokens}"]


def _in_worlds(config: RunConfig) -> list[str] | None:
    """Return the keys with which trajectories are in environments as in the run; None where that takes more than a few
    words."""
    own, usual = config.environment, EnvironmentConfig()
    if own.worlds or own.command:
        return None
    words = [f"environment={config.data.environment}"] if config.data.environment else []
    changed = [key for key in OF_TRAJECTORIES if getattr(own, key) != getattr(usual, key)]
    return [*words, *(f"environment.{key}={getattr(own, key)}" for key in changed)]


def _source(held_out: Any) -> str | None:
    """Return the value of ``data``; None where it cannot be said in a few words."""
    if not isinstance(held_out, str):
        return None
    if held_out.startswith("hf://"):
        return held_out
    path = Path(held_out).expanduser()
    return here(path) if path.exists() else None


def _text(text: str) -> str:
    return quoted(text) if text != text.strip() or text.startswith(("'", '"', "[", "{")) else text


def _line(*words: str) -> str:
    return shlex.join(["r1ray", *words])
