from __future__ import annotations

import asyncio
import re
import sys
from importlib.metadata import EntryPoint
from typing import Any

import pytest

from r1ray.config import EnvironmentConfig
from r1ray.environments import registry
from r1ray.environments.registry import SHIPPED, WorldSource, known_names, source_of
from r1ray.environments.world_context import WorldContext
from r1ray.errors import UserError
from tests.environments.own_worlds import Contextual, Coroutines, Guess

HERE = "tests.environments.own_worlds"


def config(name: str = "maze", **world: Any) -> EnvironmentConfig:
    return EnvironmentConfig(worlds={name: world})


@pytest.mark.parametrize("path", ["Guess", "guess", "Coroutines", "Contextual"])
def test_a_world_of_ones_own_is_found_by_its_path(path: str) -> None:
    source = source_of("maze", config(path=f"{HERE}:{path}"))
    assert source == WorldSource("maze", f"{HERE}:{path}")
    assert hasattr(source.made(WorldContext()), "step")


def test_it_is_made_with_its_options_and_the_context_that_it_asks_for() -> None:
    sized = source_of("maze", config(path=f"{HERE}:Coroutines", options={"size": 5})).made(WorldContext())
    assert isinstance(sized, Coroutines) and sized.size == 5
    context = WorldContext()
    source = source_of("maze", config(path=f"{HERE}:Contextual", options={"key": "pool"}))
    first, second = source.made(context), source.made(context)
    assert isinstance(first, Contextual) and first.shared is second.shared == [first, second]


def test_what_worlds_share_is_closed_with_their_worker() -> None:
    closed: list[object] = []

    class Pool:
        async def close(self) -> None:
            closed.append(self)

    context = WorldContext()
    pool, _ = context.shared("pool", Pool), context.shared("other", list)
    asyncio.run(context.close())
    assert closed == [pool]


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("calculator", {"sizes": 3}, r"options=.*: environment calculator takes \(\*, call_timeout_s=None, max_result"),
        ("calculator", {"call_timeout_s": "abc"}, "calculator.options.call_timeout_s='abc': should be a valid number"),
        ("python", {"max_idle": True}, "python.options.max_idle=True: should be a valid integer"),
        ("search", {"corpus": 3}, "search.options.corpus=3: should be a valid string"),
        ("tools", {"tools": "calculator"}, "tools.options.tools='calculator': should be a list"),
        ("json_output", {"show_schema": "no"}, "json_output.options.show_schema='no': should be a valid boolean"),
    ],
)
def test_options_of_what_ships_have_types(name: str, options: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        source_of(name, EnvironmentConfig(worlds={name: {"options": options}}))


@pytest.mark.parametrize(
    ("world", "message"),
    [
        ({"path": "no_such_module:Maze"}, "environment.worlds.maze.path=no_such_module:Maze: .*importable.*ModuleNot"),
        ({"path": f"{HERE}:NoSuch"}, "environment.worlds.maze.path=.*NoSuch: .*importable class: AttributeError"),
        ({"path": f"{HERE}:NO_CLASS"}, "NO_CLASS: is an object of type int; needs a class with reset and step"),
        ({"path": f"{HERE}:NoStep"}, r"NoStep: NoStep has no method step\(action\)"),
        ({"path": f"{HERE}:Yields"}, "its method step is a generator, and yields"),
        ({"path": f"{HERE}:OtherStep"}, r"OtherStep: its method step takes \(self\).*called with \(action\)"),
        ({"path": f"{HERE}:Coroutines", "options": {"sise": 5}}, r"worlds.maze.options=.*Coroutines takes .*'sise'"),
        ({"path": f"{HERE}:Guess", "options": {"size": 5}}, r"worlds.maze.options=.*Guess takes"),
        ({"path": f"{HERE}:guess", "options": {"size": 5}}, r"worlds.maze.options=.*guess takes \(\*, first"),
        ({"path": "labyrinth"}, "environment.worlds.maze.path=labyrinth: no such environment; needs"),
        ({}, "environment maze: no such environment; needs .*environment.worlds.maze.path=package.module:Class"),
    ],
)
def test_what_is_no_world_is_refused_before_anything_starts(world: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        source_of("maze", config(**world))


def test_an_unknown_name_is_refused_with_those_that_there_are(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(SHIPPED, "shipped_one", f"{HERE}:Coroutines")
    own = config("own_one", path=f"{HERE}:Guess")
    with pytest.raises(UserError, match=r"^environment maze: no such environment; needs one of .*own_one.*shipped_one"):
        source_of("maze", own)
    assert {"own_one", "shipped_one"} <= set(known_names(own))


def test_one_that_ships_is_found_by_its_name_and_under_another(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(SHIPPED, "rooms", f"{HERE}:Coroutines")
    own = EnvironmentConfig(worlds={"large": {"path": "rooms", "options": {"size": 9}}})
    assert {name: source_of(name, own) for name in ("rooms", "large")} == {
        "rooms": WorldSource("rooms", f"{HERE}:Coroutines", {}, is_shipped=True),
        "large": WorldSource("large", f"{HERE}:Coroutines", {"size": 9}, is_shipped=True),
    }


def test_one_that_a_package_offers_is_found_by_its_name(monkeypatch: pytest.MonkeyPatch) -> None:
    offered = [EntryPoint("maze", f"{HERE}:Guess", registry.ENTRY_POINTS)]
    monkeypatch.setattr(registry, "entry_points", lambda group: offered if group == "r1ray.environments" else [])
    assert isinstance(source_of("maze", EnvironmentConfig()).made(WorldContext()), Guess)
    assert "maze" in known_names(EnvironmentConfig())


NEEDED = {
    "openenv": {"url": "http://localhost:8000"},
    "search": {"corpus": "docs.jsonl"},
    "tools": {"tools": ["calculator"]},
}
"""Options that an environment that ships cannot do without."""


def test_every_environment_that_ships_can_be_loaded() -> None:
    for name in SHIPPED:
        config = EnvironmentConfig(worlds={name: {"options": NEEDED.get(name, {})}})
        assert source_of(name, config).is_shipped, name


def test_a_module_that_exits_is_refused(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "exiting_world.py").write_text("import sys; sys.exit(3)")
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(UserError, match=re.escape("SystemExit: 3")):
        source_of("maze", config(path="exiting_world:Maze"))
    sys.modules.pop("exiting_world", None)


def test_a_world_that_ships_may_have_an_agent_in_the_place_of_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(registry.SHIPPED, "agents", "tests.environments.test_worker:Agent")
    made = config("own", path="tests.environments.test_worker:Agent")
    assert source_of("agents", made).is_shipped
    with pytest.raises(UserError, match=r"Agent has no method step\(action\)"):
        source_of("own", made)
