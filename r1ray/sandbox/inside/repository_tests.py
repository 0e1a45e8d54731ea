"""A script that runs tests of one file of a repository and reports for each whether it passed.

    tree.tar --> repository/ --> unittest, or pytest --> "NONCE PFMP": a letter for each test that was asked for

It is executed without any other file of r1ray, as ``python -I -S -B repository_tests.py``, and the tests share its
process with the program that they test. So only one line counts. It begins with a number that is read after the tests,
which an early exit does not know. The code that judges is compared before and after: functions of the test runner and
builtins have to be the same objects with the same code, and tests that must fail have to fail still.
A program that is written against this script can find the number and write the line. That cannot be prevented within
one process.
"""

from __future__ import annotations

import ast
import builtins
import importlib.util
import io
import json
import os
import sys
import tarfile
import types
import unittest
from collections.abc import Callable, Iterator
from typing import Any

REPOSITORY, BEFORE, PLAN = "repository", "tree.tar", "plan.json"
PASSED, FAILED, MISSING, TAMPERED = "P", "F", "M", "T"
JUDGES = ("unittest.case", "unittest.result", "unittest.suite", "unittest.loader", "unittest.util")
MAY_CHANGE = {"_", "print", "input", "open", "help", "exit", "quit", "copyright", "credits", "license"}
"""Builtins that do not affect an outcome and that programs replace."""
COMPARED = "__compared__"
PLAIN = (int, float, complex, bool, str, bytes, type(None), list, tuple, dict, set, frozenset)


def main() -> None:
    """Run the planned tests and print the line of outcomes. Never returns."""
    leave, write, read = os._exit, os.write, os.read
    report, nonce = os.dup(1), os.dup(0)
    nothing = os.open("/dev/null", os.O_RDONLY)
    os.dup2(nothing, 0)
    os.dup2(2, 1)  # text that tests print is no result
    with open(PLAN) as file:
        plan = json.load(file)
    unpack()
    os.mkdir("tmp")
    os.environ["HOME"] = os.environ["TMPDIR"] = os.path.abspath("tmp")
    os.chdir(REPOSITORY)
    sys.path[:0] = [os.path.abspath(folder) for folder in plan["roots"]]
    run = run_pytest if plan["runner"] == "pytest" else run_unittest
    if run is run_pytest:
        sys.path += plan["packages"]
        import pytest  # noqa: F401  (before the repository can offer another one)
    original = unittest.TestCase._getAssertEqualityFunc
    setattr(unittest.TestCase, "_getAssertEqualityFunc", wary(original))  # noqa: B010  (a method of the library's)
    sys.modules["__main__"] = types.ModuleType("__main__")
    judge = Judge()
    try:
        outcomes = run(plan, judge)
    except BaseException as error:
        print_error(error)
        outcomes = {}
    letters = [letter_of(test, outcomes) for test in plan["tests"]]
    if judge.is_tampered_with():
        letters = [TAMPERED for _ in letters]
    write(report, read(nonce, 64) + b" " + "".join(letters).encode())
    leave(0)


def unpack() -> None:
    """Unpack the repository into its folder."""
    with tarfile.open(BEFORE) as archive:
        os.mkdir(REPOSITORY)
        for member in archive:
            path = os.path.join(REPOSITORY, member.name)
            os.makedirs(os.path.dirname(path), exist_ok=True)
            with open(path, "wb") as file:
                file.write(archive.extractfile(member).read())  # type: ignore[union-attr]


def letter_of(test: str, outcomes: dict[str, bool]) -> str:
    """Return the outcome of a requested test, over all tests that its name covers."""
    inside = (f"{test}.", f"{test}::", f"{test}[")
    covered = [passed for name, passed in outcomes.items() if not test or name == test or name.startswith(inside)]
    return MISSING if not covered else PASSED if all(covered) else FAILED


def print_error(error: BaseException) -> None:
    """Print the error that ended the tests. Its text may come from the program's own code, and printing may fail."""
    try:
        sys.stderr.write(f"{type(error).__name__}: {error}\n")
        sys.stderr.flush()
    except BaseException:
        return


# ---------------------------------------------------------------------- code that judges


class Judge:
    """A record of all code that judges the tests, taken before any line of the repository ran."""

    def __init__(self) -> None:
        self._before = dict(parts())
        self._same = parts
        self._methods: list[tuple[type, str, Any, Any]] = []
        self._functions: list[tuple[Any, Any]] = []
        self._was_changed = False

    def distrust(self) -> None:
        """Note an outcome that must not occur."""
        self._was_changed = True

    def add(self, cls: type) -> None:
        """Watch a class of tests, too: its own methods, and that it overrides no further method of TestCase."""
        for name in {*vars(unittest.TestCase), *vars(cls)}:
            value = vars(cls).get(name)
            if value is None or isinstance(value, types.FunctionType):
                self._methods.append((cls, name, value, getattr(value, "__code__", None)))

    def add_function(self, function: Any) -> None:
        """Watch a test function, too."""
        self._functions.append((function, getattr(function, "__code__", None)))

    def look(self) -> None:
        """Note whether anything has changed."""
        if any(getattr(function, "__code__", None) is not code for function, code in self._functions):
            self._was_changed = True
        for cls, name, value, code in self._methods:
            found = vars(cls).get(name)
            if found is not value or getattr(found, "__code__", None) is not code:
                self._was_changed = True
        now = dict(self._same())
        for name, (thing, code) in self._before.items():
            same, same_code = now.get(name, (None, None))
            if same is not thing or same_code is not code:
                self._was_changed = True

    def is_tampered_with(self) -> bool:
        """Return whether anything is or was changed, or a test has an outcome that it must not have."""
        self.look()
        return self._was_changed or not canaries_die()


def parts() -> Iterator[tuple[str, tuple[object, object]]]:
    """Yield the functions that judge, by name, each with its code."""
    for name, value in vars(builtins).items():
        if name not in MAY_CHANGE:
            yield name, (value, None)
    for module in JUDGES:
        for name, value in vars(sys.modules[module]).items():
            if isinstance(value, types.FunctionType):
                yield f"{module}.{name}", (value, value.__code__)
            elif isinstance(value, type):
                for each, method in vars(value).items():
                    if isinstance(method, types.FunctionType):
                        yield f"{module}.{name}.{each}", (method, method.__code__)


class Canaries(unittest.TestCase):
    """Tests whose outcome is known."""

    def equal(self) -> None:
        self.assertEqual(1, 2)

    def true(self) -> None:
        self.assertTrue([])

    def bare(self) -> None:
        assert len(str(self)) < 0

    def silent(self) -> None:
        with self.assertRaises(ValueError):
            pass

    def error(self) -> None:
        raise KeyError(1)

    def fine(self) -> None:
        self.assertEqual([1], [1])


CANARIES = {"equal": False, "true": False, "bare": False, "silent": False, "error": False, "fine": True}


def canaries_die() -> bool:
    """Return whether each canary has its known outcome."""
    found = outcomes_of([Canaries(name) for name in CANARIES], lambda: None)
    return [found.get(f"{Canaries.__module__}.Canaries.{name}") for name in CANARIES] == [*CANARIES.values()]


class Anything:
    """An object that nothing equals."""


def wary(original: Callable[..., Any]) -> Callable[..., Any]:
    """Return ``assertEqual``'s method that chooses a comparison, made to fail on objects that equal everything."""

    def chosen(self: unittest.TestCase, first: Any, second: Any) -> Any:
        for value in (first, second):
            if says_yes(value):
                raise self.failureException(f"{type(value).__name__} equals whatever it is compared with")
        return original(self, first, second)

    return chosen


def says_yes(value: Any) -> bool:
    """Return whether an object equals everything. ``mock.ANY``, which tests use, is exempt."""
    if type(value) in PLAIN or type(value).__module__ == "unittest.mock":
        return False
    try:
        return bool(value == Anything())
    except Exception:
        return False


class Wary(ast.NodeTransformer):
    """Rewrites comparisons of a test file, ``a == b`` and ``a in b``, into calls of :func:`compared`."""

    def visit_Compare(self, node: ast.Compare) -> ast.AST:
        self.generic_visit(node)
        if len(node.ops) != 1 or not isinstance(node.ops[0], ast.Eq | ast.In):
            return node
        is_in = ast.Constant(isinstance(node.ops[0], ast.In))
        arguments = [node.left, node.comparators[0], is_in]
        return ast.copy_location(ast.Call(ast.Name(COMPARED, ast.Load()), arguments, []), node)


def compared(first: Any, second: Any, is_in: bool) -> Any:
    """Return ``first == second``, or ``first in second``; False for an object that equals everything."""
    if says_yes(first) or (says_yes(second) and not is_in):
        return False
    return first in second if is_in else first == second


# ---------------------------------------------------------------------- unittest


def run_unittest(plan: dict[str, Any], judge: Judge) -> dict[str, bool]:
    """Return whether each test of the file passed, by its name within the file."""
    module = load(plan["module"], plan["root"], plan["file"])
    loader, suite = unittest.TestLoader(), unittest.TestSuite()
    for name in sorted(set(plan["tests"])):
        suite.addTests(loader.loadTestsFromName(name, module) if name else loader.loadTestsFromModule(module))
    tests = list(tests_in(suite))
    for cls in {cls for test in tests for cls in type(test).__mro__ if cls.__module__ == module.__name__}:
        judge.add(cls)
    found = outcomes_of([suite], judge.look)
    prefix = f"{module.__name__}."
    # If the fixture of a class fails, none of its tests has an outcome.
    return {test.id().removeprefix(prefix): found.get(test.id(), False) for test in tests}


def load(name: str, root: str, path: str) -> types.ModuleType:
    """Return a test file as a module, always from its own source, even if another module has its name."""
    with open(path, "rb") as file:
        source = file.read()
    folder, parent = root or ".", ""
    for part in name.split(".")[:-1]:
        folder, parent = os.path.join(folder, part), f"{parent}.{part}".lstrip(".")
        _package(parent, os.path.abspath(folder))
    module = types.ModuleType(name)
    module.__file__, module.__package__ = os.path.abspath(path), parent
    sys.modules[name] = module
    module.__dict__[COMPARED] = compared
    tree = ast.fix_missing_locations(Wary().visit(ast.parse(source)))
    exec(compile(tree, module.__file__, "exec", dont_inherit=True), module.__dict__)
    return module


def _package(name: str, folder: str) -> None:
    init = os.path.join(folder, "__init__.py")
    if not os.path.exists(init):
        module = types.ModuleType(name)
        module.__path__ = [folder]
        sys.modules[name] = module
        return
    spec = importlib.util.spec_from_file_location(name, init, submodule_search_locations=[folder])
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)


def tests_in(suite: Any) -> Iterator[Any]:
    """Yield the tests of a suite."""
    for each in suite:
        if isinstance(each, unittest.TestSuite):
            yield from tests_in(each)
        elif each is not None:
            yield each


def outcomes_of(suites: list[Any], look: Callable[[], None]) -> dict[str, bool]:
    """Return whether each test passed, by its id. A skipped test counts as failed."""
    found: dict[str, bool] = {}

    class Result(unittest.TestResult):
        def addSuccess(self, test: Any) -> None:
            found.setdefault(test.id(), True)

        def addExpectedFailure(self, test: Any, err: Any) -> None:
            found.setdefault(test.id(), True)

        def addFailure(self, test: Any, err: Any) -> None:
            found[test.id()] = False
            if not isinstance(test, Canaries):
                print_error(err[1])

        addError = addFailure

        def addSkip(self, test: Any, reason: str) -> None:
            found[test.id()] = False

        def addUnexpectedSuccess(self, test: Any) -> None:
            found[test.id()] = False

        def addSubTest(self, test: Any, subtest: Any, err: Any) -> None:
            if err is not None:
                self.addFailure(test, err)

        def stopTest(self, test: Any) -> None:
            look()

    for suite in suites:
        suite.run(Result())
    return found


# ---------------------------------------------------------------------- pytest


def run_pytest(plan: dict[str, Any], judge: Judge) -> dict[str, bool]:
    """Return whether each test passed, by its node id."""
    import pytest

    found: dict[str, bool] = {}

    class Collector:
        def pytest_collection_finish(self, session: Any) -> None:
            for item in session.items:
                judge.add_function(getattr(item, "function", None))
                if (cls := getattr(item, "cls", None)) is not None:
                    judge.add(cls)

        def pytest_runtest_logreport(self, report: Any) -> None:
            if report.when == "call" or report.outcome != "passed":
                passed = report.outcome == "passed" or hasattr(report, "wasxfail")
                found[report.nodeid] = found.get(report.nodeid, True) and passed
            judge.look()

    options = ["-q", "-p", "no:cacheprovider", "--rootdir=.", "--tb=line"]
    pytest.main([*options, *dict.fromkeys(plan["tests"])], plugins=[Collector()])
    outcomes = dict(found)
    canary = os.path.join(os.path.dirname(plan["file"]), f"test_{os.urandom(8).hex()}.py")
    with open(canary, "w") as file:
        file.write("def test_it():\n    assert 1 == 2\n")
    sys.stdout = sys.stderr = io.StringIO()
    pytest.main([*options, canary], plugins=[Collector()])
    if found.get(f"{canary}::test_it") is not False:
        judge.distrust()
    return outcomes


if __name__ == "__main__":
    main()
