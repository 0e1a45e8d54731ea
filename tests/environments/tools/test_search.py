from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import Any

import pytest

from r1ray.checks import FormatOnly
from r1ray.environments import tool_world
from r1ray.environments.tool_world import ToolEnvironment
from r1ray.environments.tools.search import Search
from r1ray.errors import UserError
from r1ray.turns import Action, Observation, ToolCall
from r1ray.types import Prompt

PROMPT = Prompt(id="1", text="Search.", check=FormatOnly(), domain="math", language="en")


@pytest.fixture
def options(tmp_path: Path) -> dict[str, Any]:
    pytest.importorskip("bm25s", reason="bm25s is not installed: pip install 'r1ray[search]'")
    (tmp_path / "notes.md").write_text("Paris is the capital of France.\n\n" + "x" * 1000)
    return {"corpus": str(tmp_path), "index": str(tmp_path / "index")}


def told(world: ToolEnvironment, *queries: str) -> list[str]:
    async def ask() -> Any:
        observation = await world.reset(PROMPT, 0)
        assert observation.tools[0]["function"]["name"] == "search"
        calls = tuple(ToolCall("search", {"query": query}) for query in queries)
        said = await world.step(Action(content="", calls=calls))
        await world.close()
        return said

    said = asyncio.run(ask())
    assert isinstance(said, Observation)
    return [message.content for message in said.messages]


def test_passages_are_told_with_their_titles_and_what_finds_nothing_says_so(options: dict[str, Any]) -> None:
    found, nothing = told(tool_world.search(**options, max_passage_chars=40), "capital of france", "xyzzy")
    assert found.startswith("[notes.md]\nParis is the capital") and "characters are left out" in found
    assert nothing == "Nothing was found. Try other words."


def test_many_searches_at_once_are_served(options: dict[str, Any]) -> None:
    async def one() -> int:
        world = tool_world.search(**options)
        await world.reset(PROMPT, 0)
        said = await world.step(Action(content="", calls=(ToolCall("search", {"query": "france"}),) * 8))
        assert isinstance(said, Observation)
        return said.num_errors

    async def many() -> list[int]:
        return await asyncio.gather(*(one() for _ in range(16)))

    assert asyncio.run(many()) == [0] * 16


def test_what_cannot_be_searched_is_told_before_a_run(tmp_path: Path, options: dict[str, Any]) -> None:
    asyncio.run(tool_world.search(**options).check())
    (tmp_path / "rows.jsonl").write_text('{"title": "x"}\n')
    with pytest.raises(UserError, match="has no column text"):
        asyncio.run(tool_world.search(corpus=str(tmp_path / "rows.jsonl"), index=options["index"]).check())
    with pytest.raises(UserError, match="corpus"):
        tool_world.search(corpus=str(tmp_path / "missing"))
    with pytest.raises(UserError, match="num_results=0"):
        tool_world.search(**options, num_results=0)
    with pytest.raises(UserError, match="resultts"):
        tool_world.search(**options, resultts=3)


def test_a_missing_library_is_told_with_what_brings_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "notes.md").write_text("Paris")
    monkeypatch.setitem(sys.modules, "bm25s", None)
    with pytest.raises(UserError, match=r"pip install 'r1ray\[search\]'"):
        Search(corpus=str(tmp_path))
