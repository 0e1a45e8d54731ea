"""Results of the user's reward functions: a Score for a returned value, or a PartFailure for an error.

value --score_of--> Score                exception, NotANumber --part_failure--> PartFailure
"""

from __future__ import annotations

import functools
import inspect
import math
import traceback
from pathlib import Path
from types import TracebackType
from typing import Any, cast

from r1ray.checks import ProgramTests
from r1ray.errors import PartFailure
from r1ray.reward import own_function
from r1ray.types import Response, Score

MAX_MESSAGE, MAX_TRACEBACK, MAX_RESPONSE = 300, 4000, 2000
"""Most characters of the texts in a PartFailure, which passes through the driver."""


class NotANumber(ValueError):
    """A function returned a value that cannot be a reward. ``what``: a word or two about the value."""

    def __init__(self, what: str, value: object, *, of: str = "") -> None:
        super().__init__(f"returned {of}{_repr(value)}; needs a finite number, or a Score of one")
        self.what = what


def score_of(value: object) -> Score:
    """Return a function's return value as a Score. Raises NotANumber."""
    if not isinstance(value, Score):
        return Score(number_of(value))
    for name, kinds in (("label", str), ("detail", str), ("extracted", str | None)):
        if not isinstance(getattr(value, name), kinds):
            raise NotANumber(f"a Score with another {name}", getattr(value, name), of=f"a Score with {name}=")
    if not isinstance(value.metrics, dict):
        raise NotANumber("a Score with other metrics", value.metrics, of="a Score with metrics=")
    metrics = {str(name): number_of(each, of=f"a Score with metric {name}=") for name, each in value.metrics.items()}
    if value.tests is not None and not isinstance(value.tests, ProgramTests):
        raise NotANumber("a Score with other tests", value.tests, of="a Score with tests=")
    number = number_of(value.value, of="a Score of ")
    return Score(number, value.label, value.extracted, value.detail, metrics, value.tests)


def number_of(value: object, *, of: str = "") -> float:
    """Return a finite number as a float. Scalars of numpy, tensors of torch without a dimension, and booleans are
    accepted, too. Raises NotANumber."""
    is_number = hasattr(value, "__float__") or hasattr(value, "__index__")  # text has neither
    if not is_number or getattr(value, "shape", ()) != ():
        raise NotANumber(f"{of}{_kind_of(value)}", value, of=of)
    try:
        detach = getattr(value, "detach", None)  # torch warns about a tensor with a gradient
        number = float(cast(float, value if detach is None else detach()))
    except Exception as error:  # an object of the user or of a library: a complex scalar, a number beyond floats
        raise NotANumber(f"{of}{_kind_of(value)}", value, of=of) from error
    if not math.isfinite(number):
        raise NotANumber(f"{of}{number}", value, of=of)
    return number


def _kind_of(value: object) -> str:
    return "None" if value is None else f"a {type(value).__name__}"


def _repr(value: object) -> str:
    try:
        return shortened(repr(value), MAX_MESSAGE // 2)
    except Exception:  # an object of the user
        return f"a {type(value).__name__}"


def part_failure(
    part: str, error: BaseException, response: Response, *, function: object, on_error: str
) -> PartFailure:
    """Return the failure of a function on a response."""
    text = shortened(response.text, MAX_RESPONSE)
    if isinstance(error, NotANumber):
        kind = f"returned {error.what}"
        return PartFailure(part=part, kind=kind, message=str(error), response=text, on_error=on_error)
    frames = _own_frames(error.__traceback__)
    lines = traceback.format_exception(type(error), error, frames)
    said = "".join(traceback.format_exception_only(type(error), error)[-1:]).strip()
    place = place_in(frames, function)
    return PartFailure(
        part=part,
        kind=f"{type(error).__name__} at {place}" if place else type(error).__name__,
        message=shortened(said, MAX_MESSAGE),
        traceback=shortened("".join(lines), MAX_TRACEBACK),
        response=text,
        on_error=on_error,
    )


def _own_frames(frames: TracebackType | None) -> TracebackType | None:
    """Return a traceback that begins in the function, without the frames of its callers."""
    while frames is not None and frames.tb_frame.f_code.co_filename == own_function.__file__:
        frames = frames.tb_next
    return frames


def place_in(frames: TracebackType | None, function: object) -> str:
    """Return the last line in the function's own file that an exception passed, or in another file if there is none."""
    summary = traceback.extract_tb(frames)
    own = _file_of(function)
    found = [frame for frame in summary if frame.filename == own] or list(summary)
    return f"{Path(found[-1].filename).name}:{found[-1].lineno}" if found else ""


def _file_of(function: object) -> str | None:
    while isinstance(function, functools.partial):
        function = function.func
    called: Any = function if inspect.isroutine(function) else type(function).__call__
    code = getattr(inspect.unwrap(called), "__code__", None)
    return getattr(code, "co_filename", None)


def shortened(text: str, limit: int) -> str:
    """Return a text, with its middle left out if it is longer than ``limit``."""
    if len(text) <= limit:
        return text
    half = limit // 2
    return f"{text[:half]}\n[... {len(text) - 2 * half} characters ...]\n{text[-half:]}"
