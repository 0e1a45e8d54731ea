"""The module in which a program runs as if it were the interpreter's ``__main__``."""

from __future__ import annotations

import contextlib
import io
import sys
from typing import Any

_MAIN: dict[str, Any] = {}
PRELUDE = """
from typing import *
import bisect, collections, functools, heapq, itertools, math, operator, random, re, string
from bisect import *
from collections import *
from functools import *
from heapq import *
from itertools import *
from math import ceil, comb, factorial, floor, gcd, inf, isqrt, log, log2, pi, sqrt
"""
"""Imports that coding sites provide when they ask for a function or a class."""


def clear() -> None:
    """Clear the module, so that finalizers run."""
    _MAIN.clear()


def make(source: str, *, name: str = "__main__", prelude: str = "", shown: str = "") -> dict[str, Any]:
    """Run a program in a fresh module and return the module's namespace. ``shown``: code of the data set before the
    program."""
    global _MAIN
    module = type(sys)(name)
    sys.modules["__main__"] = sys.modules[name] = module
    _MAIN = module.__dict__
    module.__dict__["__builtins__"] = __builtins__
    module.__dict__["__file__"] = "main.py"
    sys.argv = ["main.py"]
    standard_streams()
    exec(prelude, module.__dict__)
    with contextlib.suppress(Exception):
        exec(shown, module.__dict__)
    exec(compile(source, "main.py", "exec", dont_inherit=True), module.__dict__)
    return module.__dict__


def standard_streams() -> None:
    """Make standard streams over the descriptors that the child was given. The zygote's own were made before that."""
    stdin = io.TextIOWrapper(io.BufferedReader(io.FileIO(0, "r")), "utf-8", "surrogateescape")
    stdout = io.TextIOWrapper(io.BufferedWriter(io.FileIO(1, "w")), "utf-8", "surrogateescape")
    stderr = io.TextIOWrapper(io.BufferedWriter(io.FileIO(2, "w")), "utf-8", "backslashreplace", line_buffering=True)
    for name, stream in (("stdin", stdin), ("stdout", stdout), ("stderr", stderr)):
        stream.mode = "r" if name == "stdin" else "w"  # type: ignore[misc]
        setattr(sys, name, stream)
        setattr(sys, f"__{name}__", stream)


def resolve(entry: str, namespace: dict[str, Any]) -> Any:
    """Return the function of a name: ``add``, ``Solution.method`` or ``Solution().method``."""
    value: Any = namespace
    if "." not in entry and entry not in namespace and hasattr(namespace.get("Solution"), entry):
        entry = f"Solution().{entry}"
    for depth, name in enumerate(entry.split(".")):
        bare = name.removesuffix("()")
        value = value[bare] if depth == 0 else getattr(value, bare)
        if bare != name:
            value = value()
    if isinstance(value, type) and "." in entry and not entry.endswith("()"):
        raise TypeError(f"{entry} is a class")
    return value


def describe(error: BaseException) -> list[str]:
    """Return the nearest builtin type of an exception and its message."""
    import builtins

    try:
        known = (kind.__name__ for kind in type(error).__mro__ if getattr(builtins, kind.__name__, None) is kind)
        return [next(known, "Exception"), str(error)[:500]]
    except BaseException:
        return ["Exception", ""]
