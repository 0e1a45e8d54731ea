"""Checks of the user's own, named by path in a row's ``check.type`` or in ``data.check``.

    {"type": "my_checks:contains", "word": "Paris"}    contains({"word": "Paris"}, response) -> score
    {"type": "my_checks:Contains", "word": "Paris"}    Contains(word="Paris")(response) -> score
    data.check=my_checks:reference                     reference(row) -> check
    data.check=my_checks:judge                         judge(row, response) -> score

A function that has a parameter ``prompt`` gets the prompt, too. A row names the code that is called, so it cannot name
any of Python's own modules: only modules that the user installed or wrote judge responses.
"""

from __future__ import annotations

import functools
import inspect
import json
import sys
from collections.abc import Callable, Mapping
from typing import Any, cast

from r1ray.checks import Check, OwnCheck
from r1ray.data.checks import MalformedRow, parse_check
from r1ray.data.own_columns import RowCheck
from r1ray.errors import UserError
from r1ray.reward.own_function import call_problem, load_function
from r1ray.runtime.own_code import is_async
from r1ray.types import Prompt

Judge = Callable[..., object]
"""Function that is called as ``judge(response)`` and returns a score, or an awaitable of one."""


def judge_of(check: OwnCheck, prompt: Prompt) -> Judge:
    """Return the function that judges a response to a prompt. Raises the exception of a class that does not accept the
    check's data."""
    judge = _bound(check)
    return functools.partial(judge, prompt=prompt) if _takes_prompt(judge) else judge


def own_check_problem(check: OwnCheck) -> str | None:
    """Return the reason why a check cannot judge anything: its class does not accept its data. None if it can.

    Raises:
        UserError: there is no such function or class, or it cannot be called in the required way.
    """
    loaded = _load(check.path)
    if not inspect.isclass(loaded):
        return None
    try:
        judge = _bound(check)
    except Exception as error:  # the user's class
        return f"check {check.path}: {type(error).__name__}: {error!s:.80}"
    problem = _judge_problem(judge, "response") if callable(judge) else "it has no __call__(self, response)"
    if problem is not None:
        raise UserError(f"check.type={check.path}: its objects are called: {problem}.")
    return None


def load_row_check(key: str, path: str) -> RowCheck:
    """Return the maker of a row's check, from the function that ``data.check`` names. Raises UserError.

    A function of a row and a response is the check itself and gets the row as its data.
    """
    function: Callable[..., object] = load_function(key, path)
    if _judge_problem(function, "row", "response") is None:
        return lambda row: OwnCheck(path, json.dumps(row, ensure_ascii=False, default=_text))
    problem = call_problem(function, "row")
    if problem is None and is_async(function):
        problem = "is a coroutine function, and makes a check of a row; needs a plain one"
    if problem is not None:
        raise UserError(f"{key}={path}: {problem}; needs function(row) -> check, or function(row, response) -> score.")
    return functools.partial(_made, function, f"{key}={path}")


def _made(function: Callable[[Mapping[str, Any]], object], named: str, row: Mapping[str, Any]) -> Check | None:
    try:
        found = function(row)
    except Exception as error:  # the user's function
        raise MalformedRow(f"{named}: {type(error).__name__}: {error!s:.120}") from error
    if found is None or isinstance(found, Check):
        return found
    try:
        return parse_check(found)
    except MalformedRow as error:
        raise MalformedRow(f"{named} returned {found!r:.60}: {error}") from error


def _bound(check: OwnCheck) -> Judge:
    loaded, data = _load(check.path), json.loads(check.data)
    return cast(Judge, loaded(**data)) if inspect.isclass(loaded) else functools.partial(loaded, data)


@functools.cache
def _load(path: str) -> Callable[..., object]:
    if path.partition(":")[0].partition(".")[0] in sys.stdlib_module_names:
        raise UserError(
            f"check.type={path}: is in one of Python's own modules; needs package.module:function of yours."
        )
    loaded = load_function("check.type", path)
    if not inspect.isclass(loaded) and (problem := _judge_problem(loaded, "check", "response")):
        raise UserError(f"check.type={path}: {problem}.")
    return loaded


def _judge_problem(function: Callable[..., object], *names: str) -> str | None:
    """Return the result of :func:`call_problem`. A function that has a parameter ``prompt`` is passed it, too."""
    return call_problem(function, *names, **({"prompt": ...} if _takes_prompt(function) else {}))


def _takes_prompt(function: Callable[..., object]) -> bool:
    try:
        return "prompt" in inspect.signature(function).parameters
    except (ValueError, TypeError):  # some functions in C have no known signature
        return False


def _text(value: object) -> str | None:
    """Return dates and the like as text, and None for the bytes of images."""
    return None if isinstance(value, bytes | bytearray | memoryview) else str(value)
