"""Reward functions given as objects: used directly in this process, and by their paths in other processes.

function --path_here--> "r1ray.library.functions:given_0"       function --path_of--> "my_rewards:brief"
"""

from __future__ import annotations

import importlib
import os
import site
import sys
import sysconfig
from collections.abc import Callable, Mapping
from itertools import count
from pathlib import Path
from types import ModuleType

from r1ray.errors import UserError
from r1ray.interfaces import RewardFn

Reward = RewardFn | str
"""A function, or its path: ``package.module:function``."""
_numbers = count()
_given: dict[str, RewardFn] = {}


def __getattr__(name: str) -> RewardFn:
    """Return a function registered by :func:`path_here`."""
    try:
        return _given[name]
    except KeyError:
        raise AttributeError(name) from None


def words_of_rewards(rewards: Mapping[str, Reward] | None, path: Callable[[str, RewardFn], str]) -> list[str]:
    """Return overrides that make each function a part of the reward; ``path`` returns a function's path."""
    named = {
        name: reward if isinstance(reward, str) else path(name, reward) for name, reward in (rewards or {}).items()
    }
    return [f"reward.parts.{name}.function={where}" for name, where in named.items()]


def path_here(name: str, function: RewardFn) -> str:
    """Return a path that leads to any function, but only in this process."""
    given = f"given_{next(_numbers)}"
    _given[given] = function
    return f"{__name__}:{given}"


def path_of(name: str, function: RewardFn) -> str:
    """Return the path by which reward workers, which are separate processes, import a function. Raises UserError, with
    the reason, if they cannot.

    Args:
        name: name of its part of the reward.
    """
    module_name = getattr(function, "__module__", None) or ""
    own_name = getattr(function, "__qualname__", "")
    if problem := _problem(function, module_name, own_name):
        raise UserError(
            f"rewards: {name} {problem}. Reward workers are separate processes, on any node, and import it: needs "
            "a function at the top of a module in the folder where the program is started, or on PYTHONPATH, given "
            'as it is or as "module:function". (r1ray.score takes any function: it calls it in this process.)'
        )
    return f"{module_name}:{own_name}"


def _problem(function: object, module_name: str, own_name: str) -> str | None:
    if not own_name:
        return f"is a {type(function).__name__}, which has no name of its own"
    if "<" in own_name or "." in own_name:
        return f"is {own_name}, which is not at the top of a module"
    if module_name == "__main__":
        return f"is {own_name} of the program itself"
    module = importlib.import_module(module_name)
    if getattr(module, own_name, None) is not function:
        return f"is not what {module_name}:{own_name} is"
    if not _is_importable(module):
        return f"is in {module.__file__}, from which only this process can import"
    return None


def _is_importable(module: ModuleType) -> bool:
    """Return whether a process started in this folder, with this environment, finds a module."""
    if module.__file__ is None or module.__name__ in sys.stdlib_module_names:
        return True
    levels = module.__name__.count(".") + 1 + (Path(module.__file__).name == "__init__.py")
    folder = Path(module.__file__).resolve().parents[levels - 1]
    given = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    installed = [*site.getsitepackages(), site.getusersitepackages(), sysconfig.get_path("purelib")]
    known = [os.getcwd(), *filter(None, given), *installed]
    return folder in {Path(each).resolve() for each in known} or _is_editable(module)


def _is_editable(module: ModuleType) -> bool:
    """Return whether a module is installed although its files are elsewhere."""
    from importlib.metadata import packages_distributions

    return module.__name__.partition(".")[0] in packages_distributions()
