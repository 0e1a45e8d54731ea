"""Configurations of runs whose model or files are not named yet: a plan and a smoke test need none of them."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection
from typing import TypeVar

from r1ray.errors import UserError

T = TypeVar("T")
NOT_SET = re.compile(r"(?:graph\.(\w+): )?((?:data|supervised|collect)\.\w+|model) is not set")
"""Message about a model or file that a run needs."""


def with_unnamed(overrides: list[str], build: Callable[[list[str]], T], *, but: Collection[str] = ()) -> T:
    """Call ``build`` with the overrides, and with ``KEY=unnamed`` for each model or file that it finds not set.

    Args:
        but: keys that have to be set nevertheless.
    """
    while True:
        try:
            return build(overrides)
        except UserError as error:
            missing = NOT_SET.match(str(error))
            if missing is None or missing[2] in but:
                raise
            key = f"graph.{missing[1]}.{missing[2]}" if missing[1] else missing[2]
            if f"{key}=unnamed" in overrides:
                raise
            overrides = [*overrides, f"{key}=unnamed"]
