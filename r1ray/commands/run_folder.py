"""The folder of a run: its name is a function of the configuration, and it belongs to one configuration."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

from r1ray.commands.compose import read_yaml, to_yaml
from r1ray.config import RunConfig, decisive, only_decisive
from r1ray.errors import UserError
from r1ray.runtime.files import digest_of, written_aside

CONFIG = "config.yaml"


def default_name(config: RunConfig) -> str:
    """Return ``<experiment>-seed<seed>-<digest>``, so that the same command finds its own run again."""
    return f"{config.experiment or config.recipe}-seed{config.seed}-{digest_of(decisive(config))[:6]}"


def claim_run_folder(folder: Path, config: RunConfig) -> Path:
    """Create the folder with its config.yaml, or check that it belongs to this configuration. Raises UserError."""
    saved = folder / CONFIG
    if saved.exists():
        _check(folder, read_yaml(saved), config)
    else:
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UserError(f"output_dir={config.output_dir}: {folder} cannot be made: {error}.") from error
    with written_aside(saved) as aside:  # again: the number of ranks and actors may have changed
        aside.write_text(to_yaml(asdict(config)), encoding="utf-8")
    return folder


def _check(folder: Path, before: dict[str, Any], config: RunConfig) -> None:
    """Raise UserError if what decides the results was another."""
    changed = [
        f"{key} ({old} there, {new} now)"
        for key, old, new in differences(only_decisive(before), decisive(config))
        if not key.startswith("graph.")  # each stage looks for itself
    ]
    if changed:
        raise UserError(
            f"name={folder.name}: {folder} holds a run with other settings: {', '.join(changed[:3])}; "
            "give another name."
        )


def differences(before: Any, now: Any, key: str = "") -> Iterator[tuple[str, Any, Any]]:
    """Yield each dotted key whose values differ, with both."""
    if isinstance(before, dict) and isinstance(now, dict):
        for name in sorted({*before, *now}):
            yield from differences(before.get(name), now.get(name), f"{key}.{name}" if key else str(name))
    elif before != now:
        yield key, before, now
