"""The tools of a repository, on a working tree; commands are a fake's."""

from __future__ import annotations

import asyncio
from typing import Any, cast

import pytest

from r1ray.environments.repository import tools
from r1ray.environments.repository.runner import Ran, RepositoryRunner
from r1ray.environments.repository.tools import WorkingTree
from r1ray.environments.repository.trees import Tree
from r1ray.errors import ToolFailed
from r1ray.sandbox.job import Ended, Run
from tests.environments.repository.repositories import ADD, RIGHT, TREE


class FakeRunner:
    """Commands that end as they are told, and leave a file."""

    def __init__(self, ended: Ended = "exited", *, code: int = 0, printed: bytes = b"", keeps: bool = True) -> None:
        self._run, self._keeps = Run(ended, code, printed, b"", 1.0, 2.0), keeps

    async def run(self, tree: Tree, command: str) -> Ran:
        await asyncio.sleep(0)
        return Ran(self._run, {**tree, "left": command.encode()} if self._keeps else None, "why")


def working(runner: FakeRunner | None = None, tree: Tree = TREE) -> WorkingTree:
    return WorkingTree(tree, cast(RepositoryRunner, runner or FakeRunner()))


def called(tree: WorkingTree, name: str, **arguments: Any) -> str:
    """Return what the policy is told, with ``Error:`` before what counts as one."""
    tool = next(each for each in tree.tools() if each.schema["function"]["name"] == name)
    try:
        return str(asyncio.run(tool.call(arguments)))
    except ToolFailed as error:
        return f"Error: {error}"


def test_the_tools_are_described_in_few_words() -> None:
    schemas = [tool.schema["function"] for tool in working().tools()]
    assert [each["name"] for each in schemas] == ["list", "read", "edit", "write", "run"]
    assert len(str(schemas)) < 1400


def test_files_are_listed_and_read_by_lines() -> None:
    tree = working(tree={**TREE, "long": b"line\n" * 500, "empty": b""})
    assert called(tree, "list").split("\n") == sorted(tree.tree)
    assert called(tree, "list", folder="./calc/") == "calc/__init__.py\ncalc/core.py"
    assert called(tree, "read", path="./" + ADD) == "1 def add(a, b):\n2     return a - b"
    assert called(tree, "read", path=ADD, first=2, last=9) == "2     return a - b"
    assert called(tree, "read", path="long", first=3, last=4) == "3 line\n4 line\n[lines 5 to 500 follow]"
    assert called(tree, "read", path="long").endswith("200 line\n[lines 201 to 500 follow]")
    assert called(tree, "read", path="empty") == "[the file is empty]"


def test_a_text_that_is_there_once_is_replaced() -> None:
    tree = working()
    assert called(tree, "edit", path=ADD, old="a - b", new="a + b") == f"{ADD}: replaced, at line 2"
    assert tree.tree == {**TREE, ADD: RIGHT}
    assert TREE[ADD] != RIGHT


def test_a_file_is_written_whole() -> None:
    tree = working()
    assert called(tree, "write", path="./a/b.py", content="x\ny\n") == "./a/b.py: 2 lines"
    assert tree.tree["a/b.py"] == b"x\ny\n"


@pytest.mark.parametrize(
    ("name", "arguments", "said"),
    [
        ("list", {"folder": "nowhere"}, "there is no folder"),
        ("read", {"path": "nowhere"}, "there is no file"),
        ("read", {"path": "../../etc/passwd"}, "there is no file"),
        ("read", {"path": "binary"}, "is no text"),
        ("read", {"path": ADD, "first": 3}, "has the lines 1 to 2"),
        ("read", {"path": ADD, "first": 0}, "has the lines 1 to 2"),
        ("read", {"path": ADD, "first": 2, "last": 1}, "has the lines 1 to 2"),
        ("edit", {"path": ADD, "old": "", "new": "x"}, "old is empty"),
        ("edit", {"path": ADD, "old": "nowhere", "new": "x"}, "old is not in"),
        ("edit", {"path": ADD, "old": "a", "new": "x"}, "old is 3 times in"),
        ("edit", {"path": "binary", "old": "a", "new": "x"}, "is no text"),
        ("write", {"path": "/etc/passwd", "content": ""}, "is absolute"),
        ("write", {"path": "../a", "content": ""}, "leads out"),
        ("write", {"path": f"{ADD}/a", "content": ""}, "is a file, and the folder of"),
        ("write", {"path": "a", "content": "x" * (4 << 20) + "x"}, "that would be too much"),
        ("run", {"command": "a\0b"}, "no NUL"),
        ("run", {"command": "x" * 10_000}, "at most"),
        ("run", {}, "wrong arguments"),
    ],
)
def test_calls_that_cannot_be_served_say_why_and_change_nothing(
    name: str, arguments: dict[str, Any], said: str
) -> None:
    before = {**TREE, "binary": b"\xff"}
    tree = working(tree=before)
    told = called(tree, name, **arguments)
    assert told.startswith("Error: ") and said in told
    assert tree.tree == before


def test_what_a_command_leaves_is_the_tree_from_then_on() -> None:
    tree = working(FakeRunner(code=2, printed=b"out\n"))
    assert called(tree, "run", command="x") == "out\n[exit code 2]"
    assert tree.tree == {**TREE, "left": b"x"}
    assert called(working(), "run", command="x") == "[no output]"


def test_a_command_that_was_ended_is_an_error_and_leaves_the_tree() -> None:
    tree = working(FakeRunner("wall", printed=b"begun", keeps=False))
    told = called(tree, "run", command="x")
    assert told == (
        "Error: begun\n[The command was ended: it had run for 2.0 s.]\n[What it did to files is not kept: why.]"
    )
    assert tree.tree == TREE
    assert "computed" in called(working(FakeRunner(code=152)), "run", command="x")


def test_of_a_long_output_the_end_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tools, "MAX_OUTPUT", 4)
    assert (
        called(working(FakeRunner(printed=b"012345")), "run", command="x") == "[2 characters are left out here]\n2345"
    )


def test_calls_of_a_turn_are_served_in_their_order() -> None:
    async def scenario() -> Tree:
        tree = working()
        by_name = {tool.schema["function"]["name"]: tool for tool in tree.tools()}
        await asyncio.gather(
            by_name["run"].call({"command": "x"}),
            by_name["write"].call({"path": "left", "content": "written"}),
        )
        return tree.tree

    assert asyncio.run(scenario())["left"] == b"written"
