"""Packages besides the standard library that Python programs may import: ``sandbox.packages``.

They are copied from this process's own environment, each with its requirements, so that programs see these packages and
no others, wherever the environment is.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from r1ray.errors import UserError

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


@dataclass(frozen=True, slots=True)
class Packages:
    """Packages to copy, and names to import once for all programs."""

    paths: tuple[Path, ...]
    modules: tuple[str, ...]


def find_packages(names: Sequence[str]) -> Packages:
    """Return the paths and modules of packages. Raises UserError if one is not installed."""
    paths: dict[str, Path] = {}
    modules: list[str] = []
    waiting = [(name, True) for name in names]
    seen: set[str] = set()
    while waiting:
        name, is_asked = waiting.pop(0)
        found = _distribution(name)
        if found is None:
            if is_asked:
                raise UserError(
                    f"sandbox.packages={list(names)}: {name} is not installed on this machine: needs `pip install "
                    f"{name}` in the environment of r1ray, on the machines of the reward actors."
                )
            continue
        if found.name in seen:
            continue
        seen.add(found.name)
        tops = {file.parts[0]: Path(str(found.locate_file(file.parts[0]))) for file in found.files or ()}
        own = {top: path for top, path in tops.items() if top != ".." and not top.endswith((".dist-info", ".pth"))}
        if not any(path.exists() for path in own.values()):
            raise UserError(
                f"sandbox.packages={list(names)}: needs {name} installed from a wheel, with a list of files."
            )
        paths |= own
        if is_asked:
            modules += _modules(own)
        waiting += [(_NAME.match(need)[0], False) for need in found.requires or () if "extra ==" not in need]  # type: ignore[index]
    paths.pop("__pycache__", None)
    return Packages(tuple(paths.values()), tuple(modules))


def _distribution(name: str) -> metadata.Distribution | None:
    """Return the distribution of that name, or else the distribution of the module of that name."""
    for known in (name, *metadata.packages_distributions().get(name, ())):
        try:
            return metadata.distribution(known)
        except (metadata.PackageNotFoundError, ValueError):
            continue
    return None


def _modules(tops: Mapping[str, Path]) -> list[str]:
    """Return the modules to import from a distribution: its packages, else its single files."""
    names = [name for name, path in tops.items() if name.isidentifier() and (path / "__init__.py").exists()]
    files = [name.removesuffix(".py") for name in tops if name.endswith(".py")]
    return [name for name in sorted(names or files) if name.isidentifier() and not name.startswith("_")]


def stage_packages(packages: Packages, folder: Path) -> None:
    """Copy packages into a folder that every user may read."""
    for path in packages.paths:
        if path.is_dir():
            shutil.copytree(path, folder / path.name)
        elif path.exists():
            shutil.copy(path, folder / path.name)
    for path in [folder, *folder.rglob("*")]:
        path.chmod(0o755 if path.is_dir() else 0o644)
