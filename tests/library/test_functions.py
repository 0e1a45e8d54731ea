from __future__ import annotations

import functools
import importlib
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from r1ray.errors import UserError
from r1ray.library import functions
from r1ray.library.functions import path_here, path_of, words_of_rewards
from r1ray.reward.format import format_reward
from r1ray.reward.own_function import load_function


def at_the_top(prompt: Any, response: Any) -> float:
    return 1.0


class Callable_:
    def __call__(self, prompt: Any, response: Any) -> float:
        return 1.0


def test_a_function_is_passed_on_by_its_path(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(Path(__file__).parents[2])
    assert path_of("mine", at_the_top) == "tests.library.test_functions:at_the_top"
    assert load_function("mine", path_of("mine", format_reward)) is format_reward
    assert words_of_rewards({"a": "my:fn", "b": at_the_top}, path_of) == [
        "reward.parts.a.function=my:fn",
        "reward.parts.b.function=tests.library.test_functions:at_the_top",
    ]
    assert words_of_rewards(None, path_of) == []


def inside() -> Callable[..., float]:
    def within(prompt: Any, response: Any) -> float:
        return 1.0

    return within


@pytest.mark.parametrize(
    ("function", "reason"),
    [
        (lambda prompt, response: 1.0, "is <lambda>, which is not at the top of a module"),
        (inside(), "within, which is not at the top of a module"),
        (functools.partial(at_the_top), "is a partial, which has no name of its own"),
        (Callable_(), "is a Callable_, which has no name of its own"),
    ],
)
def test_what_no_other_process_can_import_is_refused_with_the_reason(function: Any, reason: str) -> None:
    with pytest.raises(UserError, match="rewards: mine") as refused:
        path_of("mine", function)
    assert reason in str(refused.value) and "module:function" in str(refused.value)


def test_a_function_of_the_program_itself_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(at_the_top, "__module__", "__main__")
    with pytest.raises(UserError, match="is at_the_top of the program itself"):
        path_of("mine", at_the_top)


def test_a_module_that_only_this_process_finds_is_refused_until_others_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "own_rewards_of_test.py").write_text("def mine(prompt, response):\n    return 1.0\n")
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    module = importlib.import_module("own_rewards_of_test")
    with pytest.raises(UserError, match="from which only this process can import"):
        path_of("mine", module.mine)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    assert path_of("mine", module.mine) == "own_rewards_of_test:mine"


def test_in_this_process_any_function_has_a_path() -> None:
    function = functools.partial(at_the_top)
    assert load_function("mine", path_here("mine", function)) is function
    with pytest.raises(AttributeError):
        functions.__getattr__("given_by_nobody")
