"""Where the configuration files are: those that ship, and a folder of the user's own beside them (``--config-dir``).

    mine/
      recipe/long_cot.yaml      # @package _global_       r1ray run --config-dir mine recipe=long_cot
      algo/careful.yaml         clip_high: 0.3            r1ray run --config-dir mine algo=careful

A folder of one's own has files for the groups in :data:`GROUPS`. None may have the name of one that ships.
"""

from __future__ import annotations

from pathlib import Path

GROUPS = ("recipe", "algo", "reward", "experiment", "model", "cluster", "benchmark")
"""Folders of files, one of which is chosen by its name: ``recipe=r1``."""
GLOBAL = ("recipe", "experiment", "model", "cluster")
"""Groups whose files set keys anywhere, and say so in a first line."""
HEADER = "# @package _global_"


def config_folder() -> Path:
    """Return ``conf/``: inside the installed package, or beside it in a checkout."""
    package = Path(__file__).resolve().parents[1]
    return next(folder for folder in (package / "conf", package.parent / "conf") if (folder / "config.yaml").is_file())


def own_folder(given: str | None) -> Path | None:
    """Return the folder of ``--config-dir``; None if none is given. Raises ValueError if it is none, or has a file that
    would be read as something else than what it says."""
    if given is None:
        return None
    folder = Path(given).expanduser().absolute()
    if not given or not folder.is_dir():
        raise ValueError(f"--config-dir {given}: no such folder; needs one with files in {', '.join(GROUPS)}.")
    for group in GROUPS:
        for path in sorted((folder / group).glob("*.yaml")):
            _check(path, group)
    return folder


def _check(path: Path, group: str) -> None:
    if (config_folder() / group / path.name).is_file():
        raise ValueError(f"{path}: {group}={path.stem} is the name of a file that ships; needs another name.")
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(f"{path}: cannot be read: {error}.") from error
    if group in GLOBAL and HEADER not in text:
        raise ValueError(f"{path}: needs {HEADER!r} as its first line, because it sets keys of several sections.")


def names_in(group: str, own: Path | None = None) -> list[str]:
    """Return the names that can be chosen in a group."""
    folders = [config_folder(), *([own] if own else [])]
    return sorted({path.stem for folder in folders for path in (folder / group).glob("*.yaml")})
