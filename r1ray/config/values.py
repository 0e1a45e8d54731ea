"""What values have to be. Everything raises ``ValueError`` with the key, the value found and the value needed."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

RESERVED_RESOURCES = ("CPU", "GPU", "memory", "object_store_memory")
_PART = r"[a-zA-Z0-9](?:[a-zA-Z0-9_.-]{0,61}[a-zA-Z0-9])?"
LABEL_NAME = re.compile(rf"(?:[a-zA-Z0-9.-]{{1,253}}/)?{_PART}")
LABEL_SELECTOR = re.compile(rf"(?P<no>!?)(?:(?P<one>{_PART})|in\((?P<many>{_PART}(?:, ?{_PART})*)\))")
"""What a node's label has to be: ``a``, ``!a``, ``in(a, b)``, ``!in(a, b)``, as Ray has them."""


def one_of(key: str, value: str, allowed: tuple[str, ...]) -> None:
    if value not in allowed:
        raise ValueError(f"{key}={value}: needs one of {', '.join(allowed)}.")


def one_of_or_own(key: str, value: str, allowed: tuple[str, ...]) -> None:
    """Accept ``package.module:function``, a function of the user's own, beside the names that ship."""
    if value not in allowed and ":" not in value:
        raise ValueError(f"{key}={value}: needs one of {', '.join(allowed)}, or package.module:function.")


def at_least(key: str, value: float, least: float) -> None:
    if value < least:
        raise ValueError(f"{key}={value}: needs at least {least:g}.")


def above(key: str, value: float, bound: float) -> None:
    if value <= bound:
        raise ValueError(f"{key}={value}: needs to be above {bound:g}.")


def check_sampling(section: str, temperature: float | None, top_p: float | None) -> None:
    if temperature is not None:
        at_least(f"{section}temperature", temperature, 0)
    if top_p is not None and not 0 < top_p <= 1:
        raise ValueError(f"{section}top_p={top_p}: needs to be above 0 and at most 1.")


def divisors(value: int) -> list[int]:
    return [n for n in range(1, value + 1) if value % n == 0]


def is_set(settings: Mapping[str, Any], names: Sequence[str], key: str) -> bool:
    """Say whether nested settings have a value under these names, the outermost first.

    Args:
        key: what messages call that place.
    """
    for depth, name in enumerate(names):
        if not isinstance(settings, Mapping):
            section = ".".join(key.split(".")[: depth - len(names)])
            raise ValueError(f"{section}={settings}: needs settings by name, {{{name}: VALUE}}.")
        if name not in settings:
            return False
        settings = settings[name]
    return True


def check_placement(section: str, resources: Mapping[str, float], labels: Mapping[str, str]) -> None:
    """``resources`` and ``labels`` of a section, as Ray takes them."""
    for name, amount in resources.items():
        if name in RESERVED_RESOURCES or not name:
            raise ValueError(
                f"{section}.resources: {name or 'an empty name'} is no custom resource; needs names that nodes of the "
                "cluster were started with (CPUs and GPUs have keys of their own)."
            )
        at_least(f"{section}.resources.{name}", amount, 0.0001)  # Ray counts in these
    for name, value in labels.items():
        if not LABEL_NAME.fullmatch(name):
            raise ValueError(f"{section}.labels: {name} is no name of a label; needs NAME or PREFIX/NAME.")
        if not LABEL_SELECTOR.fullmatch(value):
            raise ValueError(
                f"{section}.labels.{name}={value}: needs a value, !VALUE, in(VALUE, VALUE) or !in(VALUE, VALUE)."
            )
