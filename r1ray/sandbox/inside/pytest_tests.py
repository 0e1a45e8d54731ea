"""The part of pytest that tests need: ``raises``, ``approx``, ``mark.parametrize``, ``fixture``, ``param``."""

from __future__ import annotations

import contextlib
import inspect
import itertools
import math
import re
import types
from collections.abc import Callable, Iterator
from typing import Any


class _Raises:
    """A context in which an exception must be raised."""

    def __init__(self, expected: Any, match: str | None = None) -> None:
        self._expected, self._match = expected, match
        self.value: Any = None
        self.type: Any = None

    def __enter__(self) -> _Raises:
        return self

    def __exit__(self, kind: Any, error: Any, trace: Any) -> bool:
        if error is None:
            raise AssertionError(f"did not raise {self._expected}")
        if not isinstance(error, self._expected):
            return False
        self.value, self.type = error, kind
        if self._match is not None and not re.search(self._match, str(error)):
            raise AssertionError(f"{error} does not match {self._match}")
        return True


def _raises(expected: Any, *arguments: Any, match: str | None = None, **keywords: Any) -> Any:
    if not arguments:
        return _Raises(expected, match)
    with _Raises(expected) as context:
        arguments[0](*arguments[1:], **keywords)
    return context


class _Approx:
    """A number, or a list or dict of numbers, that equals nearby ones."""

    def __init__(self, expected: Any, rel: float | None = None, abs: float | None = None, nan_ok: bool = False) -> None:
        self._expected, self._nan_ok = expected, nan_ok
        self._relative = 1e-6 if rel is None and abs is None else rel or 0.0
        self._absolute = 1e-12 if abs is None else abs

    def __eq__(self, given: object) -> bool:
        return self._near(given, self._expected)

    __hash__ = None  # type: ignore[assignment]

    def _near(self, given: Any, expected: Any) -> bool:
        if isinstance(expected, dict):
            same = isinstance(given, dict) and given.keys() == expected.keys()
            return same and all(self._near(given[key], expected[key]) for key in expected)
        if isinstance(expected, list | tuple):
            same = isinstance(given, list | tuple) and len(given) == len(expected)
            return same and all(map(self._near, given, expected))
        if not isinstance(given, int | float) or isinstance(given, bool) or not isinstance(expected, int | float):
            return type(given) is type(expected) and bool(given == expected)
        if math.isnan(expected):
            return self._nan_ok and math.isnan(given)
        return math.isclose(given, expected, rel_tol=0, abs_tol=max(self._relative * abs(expected), self._absolute))


class _Skipped(Exception):
    """The exception of a test that skips itself."""


def _skip(*_: Any, **__: Any) -> None:
    raise _Skipped


def _fail(reason: str = "", *_: Any, **__: Any) -> None:
    raise AssertionError(reason)


class _Marks:
    """``pytest.mark``: ``parametrize`` is applied, ``skip`` leaves a test out, all other marks are ignored."""

    def __getattr__(self, name: str) -> Any:
        def mark(*arguments: Any, **keywords: Any) -> Any:
            if name != "parametrize" and len(arguments) == 1 and callable(arguments[0]) and not keywords:
                return _marked(arguments[0], name, ())
            return lambda function: _marked(function, name, arguments)

        return mark


def _marked(function: Any, name: str, arguments: tuple[Any, ...]) -> Any:
    if name == "parametrize":
        function.parameter_sets = [*getattr(function, "parameter_sets", []), arguments[:2]]
    elif name == "skip":
        function.is_skipped = True
    return function


def _fixture(function: Any = None, **options: Any) -> Any:
    if function is None:
        return lambda real: _fixture(real, **options)
    function.is_fixture, function.is_automatic = True, bool(options.get("autouse"))
    function.values = options.get("params", [None])
    return function


class _Param(tuple[Any, ...]):
    """The values of ``pytest.param``."""


def module() -> types.ModuleType:
    """Return the stand-in for pytest."""
    made = types.ModuleType("pytest")
    made.__dict__.update(
        raises=_raises, approx=_Approx, mark=_Marks(), fixture=_fixture, skip=_skip, fail=_fail, main=lambda *_: 0,
        param=lambda *values, **_: _Param(values), xfail=_skip, importorskip=__import__,
    )  # fmt: skip
    return made


def run(namespace: dict[str, Any]) -> None:
    """Run every test function and test class of a module. Raises the first failure."""
    fixtures = {name: value for name, value in namespace.items() if getattr(value, "is_fixture", False) is True}
    for name, value in list(namespace.items()):
        if name.startswith("test") and isinstance(value, types.FunctionType) and name not in fixtures:
            _run_test(value, fixtures)
        elif name.startswith("Test") and isinstance(value, type) and not hasattr(value, "assertEqual"):
            for method in [key for key in dir(value) if key.startswith("test")]:
                _run_method(value, method, fixtures)


def _run_method(kind: type, name: str, fixtures: dict[str, Any]) -> None:
    instance = kind()
    own = {key: item for key in dir(instance) if getattr(item := getattr(instance, key), "is_fixture", False) is True}
    for prepare in ("setup_class", "setup_method", "setup"):
        if hasattr(instance, prepare):
            method = getattr(instance, prepare)
            method(*[None] * len(inspect.signature(method).parameters))
    _run_test(getattr(instance, name), {**fixtures, **own})


def _run_test(test: Callable[..., Any], fixtures: dict[str, Any]) -> None:
    if getattr(test, "is_skipped", False):
        return
    for values in itertools.product(*(_cases(*given) for given in getattr(test, "parameter_sets", []))):
        given = {name: value for case in values for name, value in case.items()}
        with contextlib.ExitStack() as cleanup, contextlib.suppress(_Skipped):
            for name, fixture in fixtures.items():
                if fixture.is_automatic:
                    _value_of(name, fixtures, cleanup, {})
            made: dict[str, Any] = {}
            wanted = [name for name in inspect.signature(test).parameters if name not in given]
            test(**given, **{name: _value_of(name, fixtures, cleanup, made) for name in wanted if name in fixtures})


def _cases(names: Any, values: Any) -> Iterator[dict[str, Any]]:
    listed = [name.strip() for name in names.split(",")] if isinstance(names, str) else list(names)
    for value in values:
        row = value if len(listed) > 1 or isinstance(value, _Param) else (value,)
        yield dict(zip(listed, row, strict=True))


def _value_of(name: str, fixtures: dict[str, Any], cleanup: contextlib.ExitStack, made: dict[str, Any]) -> Any:
    if name in made:
        return made[name]
    fixture = fixtures[name]
    wanted = [wanted for wanted in inspect.signature(fixture).parameters if wanted in fixtures]
    arguments = {wanted: _value_of(wanted, fixtures, cleanup, made) for wanted in wanted}
    if "request" in inspect.signature(fixture).parameters:
        arguments["request"] = types.SimpleNamespace(param=fixture.values[0])
    value = fixture(**arguments)
    if inspect.isgenerator(value):
        cleanup.callback(next, value, None)
        value = next(value)
    made[name] = value
    return value
