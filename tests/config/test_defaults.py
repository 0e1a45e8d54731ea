from __future__ import annotations

from dataclasses import asdict
from typing import Any

import pytest

from r1ray.commands.compose import compose
from r1ray.commands.run_folder import default_name
from r1ray.config import decisive
from r1ray.config.defaults import completed, unknown_keys, without_defaults

OWN = ["model=m", "data.train=t"]


@pytest.mark.parametrize("recipe", ["r1_zero", "sft", "evaluate"])
def test_what_has_its_default_can_be_left_out_and_comes_back(recipe: str) -> None:
    whole = asdict(compose([*OWN, "data.eval=t", "supervised.train=t", f"recipe={recipe}"]))
    short = without_defaults(whole)
    assert completed(short) == completed(whole) == whole
    assert len(str(short)) < len(str(whole)) / 4
    assert "supervised" in short and "plan" not in short


def test_entries_by_names_of_the_users_and_in_lists_are_completed_too() -> None:
    part = {"weight": 2.0, "function": "a:b"}
    compare = {"against": "a/result.json", "expect": {"pass@1": "up"}, "name": "a"}
    older: dict[str, Any] = {"reward": {"parts": {"mine": part}}, "eval": {"compare": [compare]}}
    whole = completed(older)
    assert whole["reward"]["parts"]["mine"]["on_error"] == "auto"
    assert whole["eval"]["compare"] == [compare]
    assert without_defaults(whole) == older
    assert completed({"reward": {"parts": 3}, "plan": None})["plan"] is None


def test_stages_of_a_graph_have_only_what_is_different() -> None:
    graph = {"first": {"learner": {"lr": 1.0}}}
    assert completed({"graph": graph})["graph"] == graph == without_defaults({"graph": graph})["graph"]


def test_a_renamed_key_is_under_its_name_of_today() -> None:
    whole = completed({"reward": {"sandbox": {"mode": "none"}}})
    assert whole["sandbox"]["mode"] == "none" and "sandbox" not in whole["reward"]
    assert unknown_keys(whole) == set()


def test_keys_that_there_are_no_more_are_named() -> None:
    assert unknown_keys(asdict(compose([*OWN, "rollout.engine_args={block_size: 16}"]))) == set()
    graph = {"a": {"learner": {"rl": 1}}}
    own: dict[str, Any] = {"parts": {"a.b": {"weigth": 1}}, "models": 3}
    found = unknown_keys({"learner": {"lr": 1, "rl": 2}, "gone": {"a": 1}, "reward": own, "graph": graph})
    assert found == {"learner.rl", "gone", "reward.parts.a.b.weigth", "graph.a.learner.rl"}


def test_a_key_that_is_added_changes_no_name_of_a_run() -> None:
    config = compose(OWN)
    settings = decisive(config)
    older = {key: value for key, value in settings.items() if key not in ("collect", "prepare")}
    assert without_defaults(older) == without_defaults(settings)
    assert default_name(compose([*OWN, "algo.group_size=4"])) != default_name(config)
    assert default_name(compose([*OWN, "algo.group_size=16"])) == default_name(config)
