"""The examples of r1ray/environments/README.md work as they stand."""

from __future__ import annotations

import asyncio
import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from r1ray.checks import FormatOnly
from r1ray.config import EnvironmentConfig
from r1ray.environments.registry import SHIPPED, source_of
from r1ray.environments.worker import EnvironmentWorker
from r1ray.turns import Action, Done, Message, Observation, ToolCall
from r1ray.types import Prompt
from tests.test_layering import ROOT

README = (ROOT / "environments/README.md").read_text()
SHOP = {"path": "tools", "options": {"tools": ["my_tools:price", {"name": "my_tools:Basket", "size": 1}]}}


@pytest.fixture(autouse=True)
def modules(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Write the modules that the README shows to where they can be imported."""
    shown = re.findall(r"```python\n# (my_\w+)\.py\n(.*?)```", README, re.DOTALL)
    assert [name for name, _ in shown] == ["my_worlds", "my_tools"]
    for name, text in shown:
        (tmp_path / f"{name}.py").write_text(text)
    monkeypatch.syspath_prepend(str(tmp_path))
    yield
    for name, _ in shown:
        sys.modules.pop(name, None)


def play(world: dict[str, Any], *actions: Action, **columns: Any) -> list[Observation | Done]:
    config = EnvironmentConfig(worlds={"own": world})
    prompt = Prompt(
        id="1",
        text="Guess.",
        check=FormatOnly(),
        domain="math",
        language="en",
        columns=columns,
        environment="own",
        messages=(Message("user", "Guess."),),
    )

    async def run() -> list[Observation | Done]:
        worker = EnvironmentWorker(config, {"own": source_of("own", config)})
        await worker.try_out([prompt])
        said: list[Observation | Done] = [await worker.enter("a", prompt, 0)]
        said += [await worker.step("a", action) for action in actions]
        await worker.close()
        return said

    return asyncio.run(run())


def test_the_environment_of_ten_lines_plays() -> None:
    actions = Action(content="Is it 3?"), Action(content="Then 7.")
    _, second, last = play({"path": "my_worlds:Guess"}, *actions, number=7)
    assert isinstance(second, Observation) and second.messages[0].content == "No. Guess again."
    assert last == Done(rewards={"right": 1.0})


def test_the_tools_are_offered_and_called() -> None:
    calls = (
        ToolCall("price", {"fruit": "pear", "count": 2}),
        ToolCall("price", {"fruit": "plum"}),
        ToolCall("price", {"fruit": "pear", "count": "2"}),
        ToolCall("put", {"fruit": "pear"}),
    )
    first, second, third, last = play(
        SHOP, Action(content="", calls=calls), Action(content="", calls=calls[3:]), Action(content="6 EUR.")
    )
    assert isinstance(first, Observation) and isinstance(second, Observation) and isinstance(third, Observation)
    assert [tool["function"]["name"] for tool in first.tools] == ["price", "put"]
    assert [message.content for message in second.messages] == [
        json.dumps({"price": 6.0, "currency": "EUR"}, separators=(",", ":")),
        "Error: there is no plum, but apple, pear",
        "Error: wrong arguments for price: $.count: '2' is not of type 'integer'",
        "1 of 1",
    ]
    assert third.messages[0].content == "Error: the basket is full"
    assert last == Done(rewards={"tool_calls": 2.0, "tool_errors": 3.0}, label="answered")


def test_every_environment_that_ships_has_a_row() -> None:
    rows = re.findall(r"^\| `(\w+)` \|", README, re.MULTILINE)
    assert {*SHIPPED} <= {*rows}
