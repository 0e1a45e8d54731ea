"""Rows of repositories: what is read, and what is refused, with its column."""

from __future__ import annotations

import base64
import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from r1ray.data.own_columns import FILE, NOT_CARRIED
from r1ray.environments.repository.rows import Test as Named
from r1ray.environments.repository.rows import task_of
from tests.environments.repository.repositories import FAIL_TO_PASS, TREE, archive_of, columns_of


def test_a_row_has_its_snapshot_its_tests_and_their_files() -> None:
    task = task_of(columns_of(), has_pytest=False)
    assert task.snapshot == TREE and task.runner == "unittest"
    assert task.fail_to_pass[0] == Named(FAIL_TO_PASS[0], "tests/test_core.py", "TestAdd.test_add")
    assert [test.name for test in task.tests] == ["TestAdd.test_add", "TestAdd.test_bare", "TestAdd.test_zero"]


def test_a_snapshot_lies_beside_its_data_file(tmp_path: Path) -> None:
    (tmp_path / "snapshots").mkdir()
    (tmp_path / "snapshots" / "a.tar.gz").write_bytes(archive_of(TREE))
    row = columns_of(snapshot="snapshots/a.tar.gz", snapshot_base64=None) | {FILE: str(tmp_path / "train.jsonl")}
    assert task_of(row, has_pytest=False).snapshot == TREE


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("tests.test_core.TestAdd", "TestAdd"),
        ("tests.test_core", ""),
        ("test_core.TestAdd.test_add", "TestAdd.test_add"),
        ("tests/test_core.py::TestAdd::test_add", "TestAdd.test_add"),
        ("test_add (tests.test_core.TestAdd)", "TestAdd.test_add"),
        ("test_add (tests.test_core.TestAdd.test_add)", "TestAdd.test_add"),
    ],
)
def test_names_of_tests_are_read_in_the_forms_of_unittest_and_pytest(name: str, found: str) -> None:
    task = task_of(columns_of(fail_to_pass=[name], pass_to_pass=None), has_pytest=False)
    assert task.fail_to_pass == (Named(name, "tests/test_core.py", found),)


def test_with_pytest_among_the_packages_it_runs_the_tests() -> None:
    row = columns_of(fail_to_pass=["tests/test_core.py::TestAdd::test_add[1]", FAIL_TO_PASS[1]])
    task = task_of(row, has_pytest=True)
    names = [test.name for test in task.fail_to_pass]
    assert names == ["tests/test_core.py::TestAdd::test_add[1]", "tests/test_core.py::TestAdd::test_bare"]
    assert task.runner == "pytest"
    assert task_of(columns_of(command="python3 -m unittest -v"), has_pytest=True).runner == "unittest"


def test_lists_may_be_json_texts_and_names_of_columns_in_capitals() -> None:
    row = columns_of(fail_to_pass=None, pass_to_pass=None) | {"FAIL_TO_PASS": json.dumps(FAIL_TO_PASS)}
    assert len(task_of(row, has_pytest=False).fail_to_pass) == 2


def test_hidden_tests_may_be_in_files_that_the_snapshot_lacks() -> None:
    row = columns_of(hidden_tests={"tests/test_more.py": "", "tests/gone.py": None}, fail_to_pass=["tests.test_more.A"])
    task = task_of(row, has_pytest=False)
    assert task.hidden == {"tests/test_more.py": b""}
    assert task.fail_to_pass[0].file == "tests/test_more.py"


TOO_MANY = base64.b64encode(gzip.compress(b"no archive" * 100)).decode()


@pytest.mark.parametrize(
    ("more", "problem"),
    [
        ({"snapshot_base64": None}, "has no snapshot and no snapshot_base64"),
        ({"snapshot": "a.zip"}, "has both a snapshot and a snapshot_base64"),
        ({"snapshot_base64": "?"}, "is not base64"),
        ({"snapshot_base64": TOO_MANY}, "snapshot_base64: it is no archive"),
        ({"snapshot_base64": None, "snapshot": "missing.zip"}, "there is no file"),
        ({"snapshot_base64": None, "snapshot": "../a.zip"}, "leads out of the repository"),
        ({"snapshot_base64": None, "snapshot": "/a.zip"}, "is absolute"),
        ({NOT_CARRIED: ["PASS_TO_PASS"]}, "its pass_to_pass has more than 65,536 characters"),
        ({"commit": "abc1234"}, "needs a git bundle"),
        ({"fail_to_pass": None}, "its fail_to_pass names no test"),
        ({"fail_to_pass": []}, "its fail_to_pass names no test"),
        ({"fail_to_pass": "tests.test_core"}, "its fail_to_pass is a text that is not JSON"),
        ({"fail_to_pass": [1]}, "its fail_to_pass is not a list of test names"),
        ({"pass_to_pass": {"a": 1}}, "its pass_to_pass is not a list of test names"),
        ({"fail_to_pass": ["tests.test_other.A"]}, "no file of the repository has this test"),
        ({"fail_to_pass": ["../tests/test_core.py::A"]}, "no file of the repository has this test"),
        ({"fail_to_pass": ["tests.test_core.A.b.c"]}, "which is neither a TestCase"),
        ({"fail_to_pass": ["tests.test_core.A.b[1]"]}, "which is neither a TestCase"),
        ({"pass_to_pass": FAIL_TO_PASS}, "is in fail_to_pass and in pass_to_pass"),
        ({"hidden_tests": ["a"]}, "its hidden_tests are not an object"),
        ({"hidden_tests": {"../a.py": ""}}, "hidden_tests: the path '../a.py' leads out"),
        ({"hidden_tests": {"/a.py": ""}}, "hidden_tests: the path '/a.py' is absolute"),
        ({"hidden_tests": {"calc": ""}}, "calc is a file, and the folder of"),
        ({"command": "make test"}, "needs `python -m unittest` or `python -m pytest`"),
        ({"command": "python -m pytest -q"}, "needs sandbox.packages"),
    ],
)
def test_a_row_that_cannot_be_judged_says_why(more: dict[str, Any], problem: str) -> None:
    with pytest.raises(ValueError, match=problem.replace("[", "\\[")):
        task_of(columns_of(**more), has_pytest=False)
