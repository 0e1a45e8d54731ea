"""Rows of repositories: a snapshot, and the tests that judge the changed repository.

Columns: ``snapshot`` (a file beside the data file), or ``snapshot_base64`` (a small one, in the row), and ``commit`` of
a git bundle; ``fail_to_pass`` and ``pass_to_pass``, lists of tests; ``hidden_tests``, files by path that are added
before judging; ``command``, which names the test runner.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from r1ray.data.json_text import parse
from r1ray.data.own_columns import FILE, MAX_CARRIED, NOT_CARRIED
from r1ray.environments.repository.archives import snapshot_at, tree_of
from r1ray.environments.repository.trees import Tree, path_problem, tree_problem

Runner = Literal["unittest", "pytest"]
COLUMNS = frozenset({"snapshot_base64", "fail_to_pass", "pass_to_pass", "hidden_tests"})
"""Columns that may be long."""
MAX_TESTS = 5000
ROOTS = ("", "tests", "test")
"""Folders in which the names of unittest's tests may begin."""
_COMMAND = re.compile(r"(?:python[0-9.]* -m )?(?P<runner>unittest|pytest)(?: -[a-zA-Z-]+)*")
_OLD_NAME = re.compile(r"(?P<method>\w+) \((?P<place>[\w.]+)\)")
"""unittest prints ``test_x (tests.test_a.TestA)``."""


@dataclass(frozen=True, slots=True)
class Test:
    """One test, or all tests of a class or a file."""

    id: str
    """Its name in the row."""
    file: str
    name: str
    """Name within the file: ``TestA.test_x`` for unittest, the node id for pytest. Empty: all tests of the file."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """A row that can be judged."""

    snapshot: Mapping[str, bytes]
    hidden: Mapping[str, bytes]
    fail_to_pass: tuple[Test, ...]
    pass_to_pass: tuple[Test, ...]
    runner: Runner

    @property
    def tests(self) -> tuple[Test, ...]:
        return (*self.fail_to_pass, *self.pass_to_pass)


def task_of(columns: Mapping[str, Any], *, has_pytest: bool) -> Task:
    """Return the task of a row. Raises ValueError with the problem.

    Args:
        has_pytest: True if programs in the sandbox can import pytest.
    """
    row = {name.lower(): value for name, value in columns.items() if value is not None}
    if long := sorted(COLUMNS.intersection(map(str.lower, columns.get(NOT_CARRIED, ())))):
        raise ValueError(f"its {long[0]} has more than {MAX_CARRIED:,} characters, and does not reach an environment")
    snapshot, hidden = _snapshot(row), _hidden(row.get("hidden_tests"))
    runner = _runner(row.get("command"), has_pytest=has_pytest)
    whole = {**snapshot, **hidden}
    if (problem := tree_problem(whole)) is not None:
        raise ValueError(f"with its hidden_tests it has {problem}")
    tests = {name: _tests(row.get(name), whole, runner, column=name) for name in ("fail_to_pass", "pass_to_pass")}
    if not tests["fail_to_pass"]:
        raise ValueError("its fail_to_pass names no test: needs at least one that a solution makes pass")
    both = {test.id for test in tests["fail_to_pass"]} & {test.id for test in tests["pass_to_pass"]}
    if both:
        raise ValueError(f"{min(both)!r} is in fail_to_pass and in pass_to_pass")
    return Task(snapshot=snapshot, hidden=hidden, runner=runner, **tests)


def _snapshot(row: Mapping[str, Any]) -> Tree:
    commit, path, inline = row.get("commit"), row.get("snapshot"), row.get("snapshot_base64")
    if (path is None) == (inline is None):
        found = "no snapshot and no" if path is None else "both a snapshot and a"
        raise ValueError(f"it has {found} snapshot_base64: needs one of the two")
    if inline is not None:
        try:
            return tree_of(base64.b64decode(str(inline), validate=True), commit=commit)
        except binascii.Error as error:
            raise ValueError(f"its snapshot_base64 is not base64: {error}") from error
        except ValueError as error:
            raise ValueError(f"its snapshot_base64: {error}") from error
    if (problem := path_problem(str(path))) is not None:
        raise ValueError(f"its snapshot {str(path)[:200]!r} {problem}: needs a path below the folder of its data file")
    return snapshot_at(Path(str(row.get(FILE, ""))).parent / str(path), commit=commit)


def _hidden(value: Any) -> Tree:
    value = _parsed(value, "hidden_tests")
    if value is None:
        return {}
    if not isinstance(value, Mapping) or not all(isinstance(each, str | None) for each in value.values()):
        raise ValueError("its hidden_tests are not an object of texts by path")
    hidden = {str(path): text.encode("utf-8", "replace") for path, text in value.items() if text is not None}
    for path in hidden:
        if (problem := path_problem(path)) is not None:
            raise ValueError(f"its hidden_tests: the path {path[:200]!r} {problem}")
    return hidden


def _runner(command: Any, *, has_pytest: bool) -> Runner:
    if command is None:
        return "pytest" if has_pytest else "unittest"
    found = _COMMAND.fullmatch(" ".join(str(command).split()))
    if found is None:
        raise ValueError(
            f"its command is {str(command)[:200]!r}: needs `python -m unittest` or `python -m pytest`, whose results "
            "are taken test by test"
        )
    if found["runner"] == "pytest" and not has_pytest:
        raise ValueError("its command needs pytest: needs sandbox.packages=[pytest], or tests of unittest")
    return "pytest" if found["runner"] == "pytest" else "unittest"


def _tests(value: Any, tree: Mapping[str, bytes], runner: Runner, *, column: str) -> tuple[Test, ...]:
    value = _parsed(value, column)
    if value is None:
        return ()
    if isinstance(value, str) or not isinstance(value, Sequence) or not all(isinstance(each, str) for each in value):
        raise ValueError(f"its {column} is not a list of test names")
    if len(value) > MAX_TESTS:
        raise ValueError(f"its {column} names {len(value)} tests: {MAX_TESTS} are run")
    named = _pytest_test if runner == "pytest" else _unittest_test
    return tuple(named(each, tree, column) for each in dict.fromkeys(value))


def _pytest_test(name: str, tree: Mapping[str, bytes], column: str) -> Test:
    file = name.partition("::")[0]
    if file in tree:
        return Test(name, file, name)
    if "::" not in name and not name.endswith(".py"):  # unittest's form
        test = _unittest_test(name, tree, column)
        return Test(name, test.file, "::".join([test.file, *filter(None, test.name.split("."))]))
    raise ValueError(f"its {column} names {name[:200]!r}, and there is no file {file[:200]}")


def _unittest_test(name: str, tree: Mapping[str, bytes], column: str) -> Test:
    """Return the test named by ``tests.test_a.TestA.test_x``, by the same in pytest's form, or in the form that
    unittest prints."""
    dotted = name
    if (old := _OLD_NAME.fullmatch(name)) is not None:
        dotted = old["place"] if old["place"].endswith(f".{old['method']}") else f"{old['place']}.{old['method']}"
    elif "::" in name or name.endswith(".py"):
        file, _, rest = name.partition("::")
        dotted = ".".join([*file.removesuffix(".py").split("/"), *filter(None, rest.split("::"))])
    parts = dotted.split(".")
    for root in ROOTS:
        for end in range(len(parts), 0, -1):
            file = "/".join([*filter(None, [root]), *parts[:end]]) + ".py"
            if file in tree:
                return _checked(Test(name, file, ".".join(parts[end:])), column)
    raise ValueError(f"its {column} names {name[:200]!r}, and no file of the repository has this test")


def _checked(test: Test, column: str) -> Test:
    parts = test.name.split(".") if test.name else []
    if len(parts) > 2 or not all(part.isidentifier() for part in parts):
        raise ValueError(
            f"its {column} names {test.id[:200]!r}, which is neither a TestCase of unittest nor a method of one"
        )
    return test


def _parsed(value: Any, column: str) -> Any:
    """Return a value, which may be given as its JSON text."""
    if not isinstance(value, str):
        return value
    try:
        return parse(value)
    except ValueError as error:
        raise ValueError(f"its {column} is a text that is not JSON: {error}") from error
