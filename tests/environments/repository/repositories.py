"""A repository with a bug, its row, and its working tree, for tests."""

from __future__ import annotations

import base64
import gzip
from typing import Any

from r1ray.checks import FormatOnly
from r1ray.environments.repository.trees import Tree, packed
from r1ray.types import Prompt

ADD, WRONG, RIGHT = "calc/core.py", b"def add(a, b):\n    return a - b\n", b"def add(a, b):\n    return a + b\n"
TESTS = b"""import unittest

from calc.core import add


class TestAdd(unittest.TestCase):
    def test_add(self):
        self.assertEqual(add(1, 2), 3)

    def test_bare(self):
        assert add(4, 5) == 9

    def test_zero(self):
        self.assertEqual(add(0, 0), 0)
"""
TREE: Tree = {"calc/__init__.py": b"", ADD: WRONG, "tests/__init__.py": b"", "tests/test_core.py": TESTS}
FAIL_TO_PASS = ["tests.test_core.TestAdd.test_add", "tests.test_core.TestAdd.test_bare"]
PASS_TO_PASS = ["tests.test_core.TestAdd.test_zero"]


def archive_of(tree: Tree) -> bytes:
    return gzip.compress(packed(tree), mtime=0)


def columns_of(tree: Tree = TREE, **more: Any) -> dict[str, Any]:
    """Return the columns of a row with a snapshot in it."""
    inline = base64.b64encode(archive_of(tree)).decode()
    return {"snapshot_base64": inline, "fail_to_pass": FAIL_TO_PASS, "pass_to_pass": PASS_TO_PASS} | more


def prompt_of(columns: dict[str, Any]) -> Prompt:
    return Prompt(
        id="1", text="add() subtracts.", check=FormatOnly(), domain="code", language="en", columns=columns,
        environment="repository",
    )  # fmt: skip
