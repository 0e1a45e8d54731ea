"""The configuration of a run, for those who look at runs of any age: as far as it can be read."""

from __future__ import annotations

from pathlib import Path
from typing import Any

CONFIG = "config.yaml"


def settings_in(folder: Path) -> dict[str, Any]:
    """Return the resolved configuration in a run's folder; empty where it has none that can be read."""
    import yaml  # takes longer than what most commands do

    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # in C where it is installed: ten times as fast
    try:
        found = yaml.load((folder / CONFIG).read_text(encoding="utf-8"), Loader=loader)
    except (OSError, ValueError, RecursionError, yaml.YAMLError):
        return {}
    return found if isinstance(found, dict) else {}
