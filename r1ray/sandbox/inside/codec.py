"""Values as data: a program's results cross process borders as JSON that keeps types apart, never as pickle."""

from __future__ import annotations

import collections
import itertools
from collections.abc import Callable, Iterator
from typing import Any

MAX_ITEMS = 100_000
"""Items of an iterator; a longer one is not encoded as data."""


def encode(value: Any, other: Callable[[Any], Any] | None = None) -> Any:
    """Return a value as JSON that keeps its type apart. A value that is not data becomes its type's name alone, or the
    result of ``other``."""
    if value is None or value is True or value is False:
        return value
    if isinstance(value, int):
        exact = int.__index__(value)
        return exact if -(1 << 53) < exact < 1 << 53 else {"int": hex(exact)}
    if isinstance(value, float):
        return {"float": float.hex(float.__pos__(value))}
    if isinstance(value, str):
        return str.__str__(value)
    if isinstance(value, list):
        return [encode(item, other) for item in list.__iter__(value)]
    if isinstance(value, tuple):
        return {"tuple": [encode(item, other) for item in tuple.__iter__(value)]}
    if isinstance(value, dict):
        return {"dict": [[encode(key, other), encode(item, other)] for key, item in dict.items(value)]}
    if isinstance(value, set | frozenset):
        return {"set": [encode(item, other) for item in value]}
    if isinstance(value, bytes | bytearray):
        return {"bytes": bytes(value).hex()}
    if isinstance(value, complex):
        return {"complex": [float.hex(value.real), float.hex(value.imag)]}
    if isinstance(value, range):
        return {"range": [encode(value.start, other), encode(value.stop, other), encode(value.step, other)]}
    if isinstance(value, collections.deque):
        return {"deque": [encode(item, other) for item in collections.deque.__iter__(value)]}
    if isinstance(value, Iterator):
        items = list(itertools.islice(value, MAX_ITEMS + 1))
        if len(items) <= MAX_ITEMS:
            return {"iterator": [encode(item, other) for item in items]}
    return {"other": type(value).__name__[:100]} if other is None else other(value)


def decode(data: Any, other: Callable[[str, Any], Any] | None = None) -> Any:
    """Return the value that :func:`encode` encoded. ``other`` decodes a kind and body that are not known here. Raises
    ValueError."""
    if isinstance(data, list):
        return [decode(item, other) for item in data]
    if not isinstance(data, dict):
        return data
    ((kind, body),) = data.items()
    if kind == "int":
        return int(body, 16)
    if kind == "float":
        return float.fromhex(body)
    if kind == "tuple":
        return tuple(decode(item, other) for item in body)
    if kind == "dict":
        return {_hashable(decode(key, other)): decode(item, other) for key, item in body}
    if kind == "set":
        return {_hashable(decode(item, other)) for item in body}
    if kind == "bytes":
        return bytes.fromhex(body)
    if kind == "complex":
        return complex(float.fromhex(body[0]), float.fromhex(body[1]))
    if kind == "range":
        return range(*(decode(item, other) for item in body))
    if kind == "deque":
        return collections.deque(decode(item, other) for item in body)
    if kind == "iterator":
        return iter([decode(item, other) for item in body])
    return Opaque(body) if other is None else other(kind, body)


def _hashable(value: Any) -> Any:
    return tuple(_hashable(item) for item in value) if isinstance(value, list | tuple) else value


class Opaque:
    """A value that was not data. It equals nothing."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __eq__(self, other: object) -> bool:
        return False

    def __hash__(self) -> int:
        return 0

    def __repr__(self) -> str:
        return f"<{self.name}>"
