"""Options of what ships, against the types that its constructor says."""

from __future__ import annotations

import inspect
import typing
from collections.abc import Callable, Mapping
from typing import Any

from pydantic import ConfigDict, TypeAdapter, ValidationError

_STRICT = ConfigDict(strict=True)


def wrong_option(maker: Callable[..., object], options: Mapping[str, Any]) -> str | None:
    """Return which option is of another type than a class, or a function, says that it takes; None if none is."""
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
    """Return what may be given, without types, and without what a user cannot give.

    >>> def made(*, corpus: str, num_results: int = 3, context: object = None) -> object: ...
    >>> shown(inspect.signature(made))
    '(*, corpus, num_results=3)'
    """
    empty = inspect.Parameter.empty
    kept = [each.replace(annotation=empty) for name, each in signature.parameters.items() if name != without]
    return str(signature.replace(parameters=kept, return_annotation=inspect.Signature.empty)) if kept else "nothing"
