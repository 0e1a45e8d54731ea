"""The files of a tree that are judged, and the verdict on their results."""

from __future__ import annotations

import pytest

from r1ray.environments.repository.judgement import judged_tree, verdict_of
from r1ray.environments.repository.rows import task_of
from tests.environments.repository.attacks import ON_TESTS
from tests.environments.repository.repositories import ADD, FAIL_TO_PASS, PASS_TO_PASS, RIGHT, TREE, columns_of

TASK = task_of(columns_of(hidden_tests={"checks/hidden.py": "hidden"}), has_pytest=False)


def test_the_programs_files_are_judged_with_the_tests_of_the_row() -> None:
    tree = {**TREE, ADD: RIGHT, "calc/new.py": b"", "tests/test_core.py": b"mine", "tests/test_new.py": b"mine"}
    assert judged_tree(tree, TASK) == {**TREE, ADD: RIGHT, "calc/new.py": b"", "checks/hidden.py": b"hidden"}


def test_what_was_deleted_stays_so_but_for_tests() -> None:
    assert set(judged_tree({}, TASK)) == {"tests/__init__.py", "tests/test_core.py", "checks/hidden.py"}


def test_files_that_would_run_the_tests_in_another_way_are_left_out() -> None:
    names = [
        "conftest.py", "calc/conftest.py", "pytest.ini", "tox.ini", "setup.cfg", "pyproject.toml", "sitecustomize.py",
        "usercustomize.py", "a.pth", "__pycache__/a.pyc", "calc/core.pyc", "unittest.py", "unittest/case.py", "json.py",
        "src/json.py", "pytest.py", "_pytest/x.py", "test_root.py", "calc/a_test.py", "calc/tests.py",
    ]  # fmt: skip
    assert judged_tree({**TREE, **dict.fromkeys(names, b"mine")}, TASK) == judged_tree(TREE, TASK)


@pytest.mark.parametrize("name", ON_TESTS)
def test_what_a_policy_does_to_tests_is_not_judged(name: str) -> None:
    assert judged_tree({**TREE, **ON_TESTS[name]}, TASK) == judged_tree(TREE, TASK)


def test_the_snapshots_own_of_these_names_are_kept() -> None:
    own = {**TREE, "conftest.py": b"own", "json.py": b"own"}
    task = task_of(columns_of(own), has_pytest=False)
    assert judged_tree({**own, "conftest.py": b"mine", "json.py": b"mine"}, task) == {**own, "json.py": b"mine"}


def test_a_file_in_the_way_of_a_test_gives_way() -> None:
    assert judged_tree({"checks": b"mine", "checks/hidden.py/a": b"mine", "tests": b"mine"}, TASK) == judged_tree(
        {}, TASK
    )


def test_a_tree_is_resolved_if_all_tests_pass() -> None:
    outcomes = dict.fromkeys([*FAIL_TO_PASS, *PASS_TO_PASS], "passed")
    assert verdict_of(TASK, outcomes).is_resolved  # type: ignore[arg-type]
    assert verdict_of(TASK, outcomes).share == 1.0  # type: ignore[arg-type]


def test_other_outcomes_have_labels_and_a_share() -> None:
    first, second = FAIL_TO_PASS
    (zero,) = PASS_TO_PASS
    verdict = verdict_of(TASK, {first: "passed", zero: "passed"}, "said")
    assert (verdict.label, verdict.share) == ("unresolved", 2 / 3)
    assert verdict.detail == f"1 of 3 tests do not pass, {second} among them\nsaid"
    assert verdict_of(TASK, {first: "passed", second: "passed"}).label == "broken"
    assert verdict_of(TASK, {first: "passed", second: "timeout"}).label == "timeout"
    tampered = verdict_of(TASK, {first: "passed", second: "passed", zero: "tampered"})
    assert (tampered.label, tampered.share) == ("tampered", 0.0)
    assert not any(each.is_resolved for each in (verdict, tampered))
