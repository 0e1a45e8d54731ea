"""Conversion of a program's values to words of the command line: library functions take the same settings as
commands."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from os import PathLike, fspath

from r1ray.commands.quoting import quoted
from r1ray.errors import UserError


def words_of(values: Mapping[str, object]) -> list[str]:
    """Return overrides that set keys to values. An object's keys are set one by one.

    >>> words_of({"steps": 5, "algo": {"group_size": 8}, "data.train": "a b.jsonl", "learner.betas": [0.9, 0.95]})
    ['steps=5', 'algo.group_size=8', "data.train='a b.jsonl'", 'learner.betas=[0.9,0.95]']

    Raises UserError for a value that no configuration can have.
    """
    return [f"{key}={_text(value, key)}" for key, value in _leaves(values, "")]


def _leaves(values: Mapping[str, object], prefix: str) -> Iterator[tuple[str, object]]:
    for name, value in values.items():
        if isinstance(value, Mapping) and value:
            yield from _leaves(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value


def _text(value: object, key: str) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int | float):
        return repr(value)
    if isinstance(value, str | PathLike):
        return quoted(str(fspath(value)))
    if isinstance(value, Mapping):
        return "{}"
    if isinstance(value, Sequence):
        return f"[{','.join(_text(each, key) for each in value)}]"
    raise UserError(f"{key}: found a {type(value).__name__}, needs text, a number, a list or a dictionary of these.")
