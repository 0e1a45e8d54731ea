from __future__ import annotations

from typing import Any

import pytest

from r1ray.environments.tools.named import SHIPPED, Entry, make_tools
from r1ray.environments.world_context import WorldContext
from r1ray.errors import UserError
from tests.environments.tools import own_tools

HERE = "tests.environments.tools.own_tools"


def test_functions_are_tools_and_classes_are_made_for_each_trajectory() -> None:
    entries: list[Entry] = ["calculator", f"{HERE}:add", {"name": f"{HERE}:Counter", "start": 3}]
    first, second = make_tools(entries), make_tools(entries)
    assert first[:2] == second[:2]
    assert isinstance(first[2], own_tools.Counter) and first[2].count == 3 and first[2] is not second[2]


def test_who_takes_a_context_gets_it() -> None:
    context = WorldContext()
    (pair,) = make_tools([f"{HERE}:Pair"], context=context)
    assert isinstance(pair, own_tools.Pair) and pair.context is context


@pytest.mark.parametrize(
    ("entries", "said"),
    [
        ([], "needs a list of tools"),
        ("calculator", "needs a list of tools"),
        (["calculater"], f"found 'calculater'; needs one of {', '.join(SHIPPED)}"),
        ([3], "found 3"),
        ([{"corpus": "x"}], "needs a name"),
        (["no_such_module:tool"], "no_such_module"),
        ([f"{HERE}:no_such_tool"], "no_such_tool"),
        ([f"{HERE}:not_callable"], "is not a function"),
        ([f"{HERE}:untyped"], "untyped, parameter a"),
        ([{"name": "calculator", "digits": 3}], "calculator takes no options, and has digits"),
        ([{"name": f"{HERE}:Counter", "stop": 3}], "stop"),
        ([{"name": f"{HERE}:Counter", "start": -1}], "start is below 0"),
        ([f"{HERE}:NoTool"], "is not a tool"),
        ([f"{HERE}:NoCall"], "is not a tool"),
        ([f"{HERE}:yielding"], "is a generator, and yields"),
        ([f"{HERE}:NoSchema"], "its parameters are not a JSON schema"),
        ([f"{HERE}:Spaced"], "has the name 'take one'"),
        ([{"name": "mcp", "command": "server.py"}], "command='server.py': should be a list"),
        ([{"name": "mcp", "command": ["x"], "only": "look"}], "only='look': should be a list"),
        ([{"name": "mcp", "command": ["x"], "start_timeout_s": "3"}], "start_timeout_s='3': should be a valid number"),
        ([{"name": "mcp", "url": 3}], "url=3: should be a valid string"),
        ([{"name": "search"}], "search takes (*, corpus, text_column='text'"),
        (["calculator", f"{HERE}:add", "calculator"], "two are called calculator"),
    ],
)
def test_what_is_no_tool_is_refused_before_anything_starts(entries: Any, said: str) -> None:
    with pytest.raises(UserError, match="tool") as raised:
        make_tools(entries)
    assert said in str(raised.value)


def test_every_tool_that_ships_can_be_found() -> None:
    for path in SHIPPED.values():
        assert path.startswith("r1ray.environments.tools.")
