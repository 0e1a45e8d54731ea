"""The order in which the files of a run are laid over each other: a later one is stronger.

``conf/config.yaml`` has the order from the weakest to the strongest. A preset that is named, on the command line or in
the experiment, goes behind the recipe: what a recipe sets holds over the default preset, and not over a chosen one.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from r1ray.config.folder import config_folder

GROUPS = {
    "config": ("recipe", "algo", "reward", "experiment", "model", "cluster"),
    "score": ("reward",),
}
"""Groups of which a file can be chosen, by what the configuration starts from."""
PRESETS = ("algo", "reward")
SECTIONS = ("algo", "reward", "cluster")
"""Groups that are sections of keys too."""


def in_order(chosen: Mapping[str, str | None], own: Path | None) -> list[Any]:
    """Return Hydra's list of defaults for a run.

    Args:
        chosen: names by groups, of the command line.
        own: a folder of the user's beside ``conf/``.
    """
    defaults = _read(config_folder() / "config.yaml")["defaults"]
    named = chosen.keys() | _overridden("experiment", chosen.get("experiment"), own)
    moved = [each for each in defaults if isinstance(each, dict) and each.keys() & named & set(PRESETS)]
    kept = [each for each in defaults if each not in moved and each != "_self_"]
    after = next(place for place, each in enumerate(kept, 1) if isinstance(each, dict) and "recipe" in each)
    return [*kept[:after], *moved, *kept[after:]]


def _overridden(group: str, name: str | None, own: Path | None) -> set[str]:
    """Return the groups that a file, and those that it starts from, choose a file of."""
    paths = [folder / group / f"{name}.yaml" for folder in (own, config_folder()) if folder]
    path = next((each for each in paths if each.is_file()), None)
    if path is None:
        return set()
    found: set[str] = set()
    for entry in _read(path).get("defaults") or []:
        if isinstance(entry, str) and entry != "_self_":
            found |= _overridden(group, entry, own)  # another file of the same group
        for key in entry if isinstance(entry, dict) else ():
            sign, _, overridden = str(key).rpartition(" ")
            if sign == "override":
                found.add(overridden.lstrip("/").partition("@")[0])
    return found


def _read(path: Path) -> dict[str, Any]:
    import yaml

    values = yaml.safe_load(path.read_text(encoding="utf-8"))
    return values if isinstance(values, dict) else {}
