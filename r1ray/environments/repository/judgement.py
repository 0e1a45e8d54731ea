"""Judgement of a tree: the files that are judged, and the verdict by the results of the tests.

Tests, and the configuration of their runner, are those of the row and the snapshot; the policy's changes to them are
ignored.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from r1ray.environments.repository.rows import Task
from r1ray.environments.repository.trees import Tree, parents_of

Outcome = Literal["passed", "failed", "tampered", "timeout"]
TEST_FOLDERS = frozenset({"test", "tests"})
RUNNER_FILES = frozenset({
    "conftest.py", "pytest.ini", ".pytest.ini", "tox.ini", "setup.cfg", "pyproject.toml", "sitecustomize.py",
    "usercustomize.py",
})  # fmt: skip
"""Files that configure how tests are run, or that an interpreter runs at its start."""
RUNNER_MODULES = frozenset({"pytest", "_pytest", "pluggy", "py", "iniconfig", "packaging"})


@dataclass(frozen=True, slots=True)
class Verdict:
    """The judgement of the tests on a tree."""

    label: str
    """``resolved``, ``unresolved``, ``broken`` (a test that passed before fails), ``timeout``, or ``tampered``."""
    share: float
    """Share of the tests that passed."""
    detail: str

    @property
    def is_resolved(self) -> bool:
        return self.label == "resolved"


def judged_tree(tree: Mapping[str, bytes], task: Task) -> Tree:
    """Return the files that are judged: those of the tree, with the tests of the snapshot and the hidden tests."""
    named = {test.file for test in task.tests} | task.hidden.keys()
    own = {path: data for path, data in task.snapshot.items() if path in named or _is_the_judges(path)}
    own |= task.hidden
    folders = {folder for path in own for folder in parents_of(path)}
    tops = {path.split("/")[0].removesuffix(".py") for path in task.snapshot}
    taken = {
        path: data
        for path, data in tree.items()
        if not (path in named or _is_the_judges(path) or path in folders or _stands_for_another(path, tops))
        and not any(folder in own for folder in parents_of(path))
    }
    return taken | own


def _is_the_judges(path: str) -> bool:
    *folders, name = path.split("/")
    if TEST_FOLDERS.intersection([*folders, name]) or name in RUNNER_FILES:
        return True
    if "__pycache__" in folders or name.endswith((".pyc", ".pth")):
        return True
    return name.endswith(".py") and (name.startswith("test_") or name.endswith("_test.py") or name == "tests.py")


def _stands_for_another(path: str, tops: set[str]) -> bool:
    """Return whether a file belongs to a module that the policy named like a module used to run the tests."""
    parts = path.split("/")
    top = (parts[1] if parts[0] == "src" and len(parts) > 1 else parts[0]).removesuffix(".py")
    return (top in sys.stdlib_module_names or top in RUNNER_MODULES) and top not in tops


def verdict_of(task: Task, outcomes: Mapping[str, Outcome], said: str = "") -> Verdict:
    """Return the verdict for the outcomes of tests, by their ids.

    Args:
        said: end of the output of the tests.
    """
    found = {test.id: outcomes.get(test.id, "failed") for test in task.tests}
    share = sum(outcome == "passed" for outcome in found.values()) / len(found)
    if "tampered" in found.values():
        return Verdict("tampered", 0.0, "the program changed what judges it")
    bad = [name for name, outcome in found.items() if outcome != "passed"]
    if not bad:
        return Verdict("resolved", share, f"all {len(found)} tests pass")
    to_resolve = [test.id for test in task.fail_to_pass if test.id in bad]
    label = "unresolved" if to_resolve else "broken"
    if "timeout" in found.values():
        label = "timeout"
    first = (to_resolve or bad)[0]
    return Verdict(label, share, f"{len(bad)} of {len(found)} tests do not pass, {first} among them\n{said}".strip())
