"""Check of options of shipped parts against the types in their constructors."""

from __future__ import annotations

import inspect
import typing
from collections.abc import Callable, Mapping
from typing import Any

from pydantic import ConfigDict, TypeAdapter, ValidationError

_STRICT = ConfigDict(strict=True)


def wrong_option(maker: Callable[..., object], options: Mapping[str, Any]) -> str | None:
    """Return a message about the first option whose type differs from that in the signature of a class or function;
    None if all fit."""
    hints = typing.get_type_hints(maker.__init__ if inspect.isclass(maker) else maker)
    for name, value in options.items():
        try:
            TypeAdapter(hints.get(name, Any), config=_STRICT).validate_python(value)
        except ValidationError as error:
            first = error.errors()[0]
            said = "should be a list" if first["type"] == "sequence_str" else first["msg"].removeprefix("Input ")
            return f"{name}={value!r:.100}: {said}"
    return None


def shown(signature: inspect.Signature, *, without: str = "context") -> str:
    """Return a signature without types, and without parameters that a user cannot give.

    >>> def made(*, corpus: str, num_results: int = 3, context: object = None) -> object: ...
    >>> shown(inspect.signature(made))
    '(*, corpus, num_results=3)'
    """
    empty = inspect.Parameter.empty
    kept = [each.replace(annotation=empty) for name, each in signature.parameters.items() if name != without]
    return str(signature.replace(parameters=kept, return_annotation=inspect.Signature.empty)) if kept else "nothing"
