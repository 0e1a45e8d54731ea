"""Functions of the user's own in the objective and in the data, looked up before any actor starts. Those of the reward
are looked up by :func:`r1ray.reward.scorer.resolve_parts`."""

from __future__ import annotations

from r1ray.algo.doors import BASELINES, SURROGATES
from r1ray.config import AlgoConfig, DataConfig
from r1ray.data.own_columns import OwnColumns
from r1ray.data.prompt_language import known_languages
from r1ray.errors import UserError
from r1ray.reward.own_check import load_row_check
from r1ray.reward.own_function import call_problem, is_async

BASELINE_ARGUMENTS = ("rewards_PG", "lengths_PG")
SURROGATE_ARGUMENTS, SURROGATE_OPTIONS = ("ratio_N", "logp_N", "advantage_N"), ("clip_low", "clip_high")
"""With what :mod:`r1ray.algo` calls them."""


def own_columns_of(data: DataConfig) -> OwnColumns:
    """Return ``data.columns`` and the function of ``data.check``. Raises UserError for one that cannot be called."""
    check = None if data.check is None else load_row_check("data.check", data.check)
    return OwnColumns(data.columns or {}, check, known_languages(data.languages))


def check_own_functions(algo: AlgoConfig) -> None:
    """Raise UserError if ``algo`` names a function that cannot be imported, or not be called as it will be."""
    for key, door, arguments, options in (
        ("surrogate", SURROGATES, SURROGATE_ARGUMENTS, SURROGATE_OPTIONS),
        ("advantage_baseline", BASELINES, BASELINE_ARGUMENTS, ()),
    ):
        name = getattr(algo, key)
        if name in door.paths:
            continue
        try:
            function = door.find(name)
        except (Exception, SystemExit) as error:  # importing runs the user's module, which may do anything
            raise UserError(f"algo.{key}={name}: {type(error).__name__}: {error}.") from error
        if not callable(function):
            raise UserError(f"algo.{key}={name}: is a {type(function).__name__}; needs a function.")
        problem = call_problem(function, *arguments, **dict.fromkeys(options, 0.2))
        if problem is None and is_async(function):
            problem = "is a coroutine function, and nothing awaits it; needs a plain one"
        if problem is not None:
            raise UserError(f"algo.{key}={name}: {problem}.")
