"""The data set's tests of a program, in the styles of data sets: bare asserts, ``check(candidate)``, functions and
classes of pytest, unittest. The candidate answers from another process."""

from __future__ import annotations

import ast
import builtins
import importlib
import sys
import types
from typing import Any

from r1ray.sandbox.inside import pytest_tests
from r1ray.sandbox.inside.main_module import describe, standard_streams
from r1ray.sandbox.inside.remote import Candidate, CandidateFailed, CandidateGone, RemoteName
from r1ray.sandbox.inside.wire import Channel, Job

PROGRAM = ("solution", "main", "your_module", "candidate")
"""Modules that stand for the program."""
KNOWN_MODULES = frozenset({
    "bisect", "collections", "copy", "datetime", "decimal", "fractions", "functools", "heapq", "itertools", "json",
    "math", "operator", "random", "re", "statistics", "string", "sys", "time",
})  # fmt: skip
"""Names that tests use without importing them, because the site that they come from imported them."""


def run_tester(payload: Job) -> int:
    """Run the tests. The candidate's answers are read from descriptor 3, and requests are written to 4. The verdict
    goes to 5, to which only this process can write."""
    candidate, verdict = Candidate(Channel(3, 4)), Channel(None, 5)
    try:
        tree = ast.parse(payload["tests"])
    except SyntaxError as error:
        verdict.send({"broken": str(error)})
        return 1
    standard_streams()
    try:
        namespace = _namespace(tree, payload["entry"], candidate)
    except NameError as error:
        verdict.send({"broken": str(error)})
        return 1
    try:
        _run(tree, namespace)
    except CandidateGone as error:
        verdict.send({"passed": False, "detail": str(error)})
    except BaseException as error:
        said = ": ".join(describe(error))
        if candidate.asked:
            verdict.send({"passed": False, "detail": said, "line": _line(error)})
        else:  # an error before the first call of the candidate cannot be its fault
            verdict.send({"broken": said})
    else:
        if not candidate.asked:
            verdict.send({"broken": "they never call the candidate"})
        else:  # a test that catches everything must not hide a dead candidate
            verdict.send({"passed": not candidate.is_gone})
    return 0


def _namespace(tree: ast.Module, entry: str | None, candidate: Candidate) -> dict[str, Any]:
    """Return the namespace of the tests' module, with a stand-in for each name of the program. Raises NameError."""
    namespace: dict[str, Any] = {"__name__": "tests"}
    imported = _take_imports(tree)
    for name, path in imported.items():
        namespace[name] = types.ModuleType(name) if path is None else _stand_in(candidate, path)
        if path is None:
            namespace[name].__getattr__ = lambda wanted: _stand_in(candidate, wanted)
    known = _defined_in(tree) | set(dir(builtins)) | set(imported) | {"candidate"}
    short = None if entry is None else entry.split(".")[-1].removesuffix("()")
    nodes = list(ast.walk(tree))
    called = {node.func.id for node in nodes if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)}
    loaded = {node.id for node in nodes if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load)}
    unknown = (called | loaded) - known - {short}
    modules = {name for name in unknown - called if name in KNOWN_MODULES}
    namespace |= {name: importlib.import_module(name) for name in modules}
    if entry is not None and (helpers := called & unknown):  # the candidate must not define its own judge
        raise NameError(f"they call {', '.join(sorted(helpers))}, which they do not define")
    namespace |= {name: _stand_in(candidate, name) for name in unknown - modules}
    if entry is not None and short is not None:
        namespace |= {"candidate": RemoteName(candidate, entry), short: RemoteName(candidate, entry)}
    return namespace


def _stand_in(candidate: Candidate, name: str) -> Any:
    """Return a stand-in for a function, a class or an exception of the program."""
    if not name.endswith(("Error", "Exception")):
        return RemoteName(candidate, name)
    return candidate.errors.setdefault(name, type(name, (CandidateFailed,), {}))


def _take_imports(tree: ast.Module) -> dict[str, str | None]:
    """Remove the imports of the program. Return the names that they bind, each with its name in the program, or None if
    it is the module itself."""
    names: dict[str, str | None] = {}
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        if not isinstance(body, list):
            continue
        for number, line in enumerate(body):
            if isinstance(line, ast.ImportFrom) and (line.level or (line.module or "").split(".")[0] in PROGRAM):
                names |= {name.asname or name.name: name.name for name in line.names if name.name != "*"}
            elif isinstance(line, ast.Import) and line.names[0].name in PROGRAM:
                names[line.names[0].asname or line.names[0].name] = None
            else:
                continue
            body[number] = ast.copy_location(ast.Pass(), line)
    return names


def _run(tree: ast.Module, namespace: dict[str, Any]) -> None:
    sys.modules["tests"] = types.ModuleType("tests")
    sys.modules["pytest"] = pytest_tests.module()
    uses_unittest = any(
        isinstance(node, ast.Import | ast.ImportFrom) and "unittest" in ast.unparse(node) for node in ast.walk(tree)
    )
    if uses_unittest:
        import unittest

        unittest.main = lambda *_, **__: None  # type: ignore[assignment]
    exec(compile(tree, "tests", "exec"), namespace)
    if "check" in namespace and "candidate" in namespace:
        namespace["check"](namespace["candidate"])
    if uses_unittest:
        _run_unittest(namespace)
    pytest_tests.run(namespace)


def _run_unittest(namespace: dict[str, Any]) -> None:
    import unittest

    class Result(unittest.TestResult):
        """A result that raises the test's own exception at the first failure."""

        def addError(self, test: Any, err: Any) -> None:
            raise err[1]

        addFailure = addError

        def addSubTest(self, test: Any, subtest: Any, err: Any) -> None:
            if err is not None:
                raise err[1]

    for value in list(namespace.values()):
        if isinstance(value, type) and issubclass(value, unittest.TestCase) and value.__module__ == "tests":
            unittest.defaultTestLoader.loadTestsFromTestCase(value).run(Result())


def _defined_in(tree: ast.Module) -> set[str]:
    """Return every name that a module binds, at any depth."""
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            found.add(node.name)
        elif isinstance(node, ast.arg):
            found.add(node.arg)
        elif isinstance(node, ast.ExceptHandler | ast.MatchAs | ast.MatchStar):
            found.add(node.name or "")
        elif isinstance(node, ast.ImportFrom) and any(name.name == "*" for name in node.names):
            found |= set(dir(importlib.import_module(node.module or "")))
        elif isinstance(node, ast.alias):
            found.add((node.asname or node.name).split(".")[0])
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            found.add(node.id)
    return found


def _line(error: BaseException) -> int:
    trace, line = error.__traceback__, 0
    while trace is not None:
        if trace.tb_frame.f_code.co_filename == "tests":
            line = trace.tb_lineno
        trace = trace.tb_next
    return line
