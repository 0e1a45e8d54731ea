"""Where the configuration files are that ship."""

from __future__ import annotations

from pathlib import Path


def config_folder() -> Path:
    """Return ``conf/``: inside the installed package, or beside it in a checkout."""
    package = Path(__file__).resolve().parents[1]
    return next(folder for folder in (package / "conf", package.parent / "conf") if (folder / "config.yaml").is_file())
