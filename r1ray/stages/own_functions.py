"""Functions of the user's own in the objective, looked up before any actor starts."""

from __future__ import annotations

from r1ray.algo.doors import BASELINES, SURROGATES
from r1ray.config import AlgoConfig
from r1ray.errors import UserError


def check_own_functions(algo: AlgoConfig) -> None:
    """Raise UserError if ``algo`` names a function that cannot be imported."""
    for key, door in (("surrogate", SURROGATES), ("advantage_baseline", BASELINES)):
        name = getattr(algo, key)
        if name in door.paths:
            continue
        try:
            function = door.find(name)
        except Exception as error:  # importing runs the user's module, which may do anything
            raise UserError(f"algo.{key}={name}: {type(error).__name__}: {error}.") from error
        if not callable(function):
            raise UserError(f"algo.{key}={name}: is a {type(function).__name__}; needs a function.")
