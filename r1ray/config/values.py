"""What values have to be. Everything raises ``ValueError`` with the key, the value found and the value needed."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import fields, is_dataclass
from typing import Any

MAX_INTEGER = 2**31 - 1
"""Largest integer of every key with a fixed name: tokens and places are counted in int32, and vLLM seeds numpy, which
takes less than 2**32, with the run's seed plus the number of an engine."""
MAX_FREE_INTEGER = 2**63 - 1
"""Largest integer below names that the user chose, as in ``rollout.engine_args``."""
MAX_ACTORS = 2**16
"""Most actors of one kind: the driver keeps a list of them."""
MAX_THREADS = 1024
MAX_SECONDS = 1e9
"""Thirty years; Python's locks wait for at most ten times as long."""
MAX_NAME_BYTES = 200
"""Longest name of a run: file systems take 255, and r1ray appends to it."""
MAY_BE_BLANK = ("command", "eval.compare.name", "search.segment_end")
RESERVED_NAMES = ("artifacts", "evaluations", "trackers")
"""Folders in ``output_dir`` that all runs share."""
TEMPERATURES = (0.01, 2.0)
"""That vLLM samples with. It takes lower ones for 0.01, and log-probabilities would then be of another policy."""
RESERVED_RESOURCES = ("CPU", "GPU", "memory", "object_store_memory")
STORE = re.compile(r"(?:s3|gs)://[A-Za-z0-9][A-Za-z0-9._-]+(?:/(?!\.{1,2}(?:/|$))[\w .,=+@-]+)*/?")
"""Address of a folder in an object store. Other characters are escaped in keys, and stores list them otherwise."""
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


def finite(key: str, value: float) -> None:
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError(f"{key}={value}: needs a finite number.")


def at_least(key: str, value: float, least: float) -> None:
    finite(key, value)
    if value < least:
        raise ValueError(f"{key}={value}: needs at least {least:g}.")


def above(key: str, value: float, bound: float) -> None:
    finite(key, value)
    if value <= bound:
        raise ValueError(f"{key}={value}: needs to be above {bound:g}.")


def between(key: str, value: float, least: float, most: float) -> None:
    finite(key, value)
    if not least <= value <= most:
        raise ValueError(f"{key}={value}: needs {_number(least)} to {_number(most)}.")


def share(key: str, value: float) -> None:
    finite(key, value)
    if not 0 < value <= 1:
        raise ValueError(f"{key}={value}: needs to be above 0 and at most 1.")


def seconds(key: str, value: float) -> None:
    finite(key, value)
    if not 0 < value <= MAX_SECONDS:
        raise ValueError(f"{key}={value}: needs seconds above 0 and at most {MAX_SECONDS:g}.")


def _number(bound: float) -> str:
    return str(bound) if isinstance(bound, int) else f"{bound:g}"


def check_values(value: Any, key: str = "", *, is_free: bool = False) -> None:
    """Raise ValueError for a value that no key takes: nan and infinities (a large number, 0 or null says what they
    would), integers that fit no counter, and texts that are empty or that no file can hold.

    Args:
        value: a section of the configuration, or what is in one.
        key: its dotted name; empty: the whole configuration.
        is_free: its name is the user's.
    """
    if is_dataclass(value):
        for each in fields(value):
            check_values(getattr(value, each.name), f"{key}.{each.name}" if key else each.name)
    elif isinstance(value, Mapping):
        for name, each in value.items():
            _check_text(key, str(name))
            check_values(each, f"{key}.{name}", is_free=True)
    elif isinstance(value, list | tuple):
        for each in value:
            check_values(each, key, is_free=is_free)
    elif isinstance(value, str):
        _check_text(key, value)
        if not value.strip() and not is_free and key not in MAY_BE_BLANK:
            raise ValueError(f"{key} is empty: needs a value, or to be left out.")
    elif isinstance(value, float):
        finite(key, value)
    elif isinstance(value, int) and abs(value) > (most := MAX_FREE_INTEGER if is_free else MAX_INTEGER):
        raise ValueError(f"{key}={value}: needs at most {most}.")


def _check_text(key: str, text: str) -> None:
    """Raise ValueError for a text that can be neither a path nor a line of a file."""
    if "\0" in text or (not text.isascii() and any("\ud800" <= letter <= "\udfff" for letter in text)):
        raise ValueError(f"{key}={text!a}: needs a text in UTF-8 without a null character.")


def check_name(key: str, name: str | None) -> None:
    """Raise ValueError for what cannot be the name of a folder in ``output_dir``."""
    if name is None:
        return
    problem = None
    if "/" in name or not name.isprintable():
        problem = "needs a name without / and control characters"
    elif name.startswith("."):
        problem = "needs a name that does not begin with a dot"
    elif name in RESERVED_NAMES:
        problem = "is a folder that all runs share; needs another name"
    elif len(name.encode()) > MAX_NAME_BYTES:
        problem = f"needs at most {MAX_NAME_BYTES} bytes, found {len(name.encode())}"
    if problem:
        raise ValueError(f"{key}={name if name.isprintable() else ascii(name)}: {problem}.")


def check_local(key: str, path: str | None) -> None:
    """Raise ValueError for the address of an object store where something is to be written."""
    if path is not None and is_address(path):
        raise ValueError(
            f"{key}={path}: is written through the file system; needs the path of a folder that all nodes see, and not "
            "an address."
        )


def is_address(path: str) -> bool:
    """Tell if a text is the address of something, and no path."""
    return "://" in path


def check_store(key: str, path: str) -> None:
    """Raise ValueError for an address where no run folder can be copied to."""
    if is_address(path) and not STORE.fullmatch(path):
        raise ValueError(
            f"{key}={path}: needs a path, or an address of the form s3://BUCKET/PATH or gs://BUCKET/PATH, with "
            "letters, digits, spaces and . , = + @ _ - in PATH."
        )


def check_sampling(section: str, temperature: float | None, top_p: float | None) -> None:
    """Raise ValueError for what vLLM does not sample with; a temperature of 0 takes the likeliest token."""
    least, most = TEMPERATURES
    if temperature is not None:
        finite(f"{section}temperature", temperature)
    if temperature is not None and temperature != 0 and not least <= temperature <= most:
        raise ValueError(f"{section}temperature={temperature}: needs 0, or {least:g} to {most:g}.")
    if top_p is not None:
        share(f"{section}top_p", top_p)


def divisors(value: int) -> list[int]:
    small = [n for n in range(1, math.isqrt(value) + 1) if value % n == 0]
    return sorted({*small, *(value // n for n in small)})


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
