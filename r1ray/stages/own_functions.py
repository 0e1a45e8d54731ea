"""Functions of the user's own in the objective and in the data, looked up before any actor starts. Those of the reward
are looked up by :func:`r1ray.reward.scorer.resolve_parts`."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from r1ray.algo.doors import BASELINES, SURROGATES, Baseline, Door, Surrogate
from r1ray.config import AlgoConfig, DataConfig
from r1ray.config.environment import NO_WORLD
from r1ray.data.own_columns import OwnColumns
from r1ray.data.prompt_language import known_languages
from r1ray.errors import UserError
from r1ray.reward.own_check import load_row_check
from r1ray.reward.own_function import call_problem
from r1ray.runtime.own_code import is_async

F = TypeVar("F")


def own_columns_of(data: DataConfig) -> OwnColumns:
    """Return ``data.columns`` and the function of ``data.check``. Raises UserError for one that cannot be called."""
    check = None if data.check is None else load_row_check("data.check", data.check)
    default = "" if data.environment in (None, NO_WORLD) else data.environment
    return OwnColumns(data.columns or {}, check, known_languages(data.languages), str(default))


def check_own_functions(algo: AlgoConfig) -> None:
    """Raise UserError if ``algo`` names a function that cannot be imported, that cannot be called with the one object
    that it will be given, or that returns what cannot be trained by."""
    _check("algo.surrogate", algo.surrogate, SURROGATES, _surrogate_problem)
    _check("algo.advantage_baseline", algo.advantage_baseline, BASELINES, _baseline_problem)


def _check(key: str, name: str, door: Door[F], try_out: Callable[[F], str | None]) -> None:
    if name in door.paths:
        return
    try:
        function = door.find(name)
    except (Exception, SystemExit) as error:  # importing runs the user's module, which may do anything
        raise UserError(f"{key}={name}: {type(error).__name__}: {error}.") from error
    if not callable(function):
        raise UserError(f"{key}={name}: is a {type(function).__name__}; needs a function.")
    problem = call_problem(function, "inputs")
    if problem is None and is_async(function):
        problem = "is a coroutine function, and nothing awaits it; needs a plain one"
    if problem is None:
        problem = try_out(function)
    if problem is not None:
        raise UserError(f"{key}={name}: {problem}.")


def _surrogate_problem(function: Surrogate) -> str | None:
    from r1ray.stages.loss_trial import surrogate_problem  # imports PyTorch, which nothing else needs here

    return surrogate_problem(function)


def _baseline_problem(function: Baseline) -> str | None:
    from r1ray.stages.loss_trial import baseline_problem

    return baseline_problem(function)
