"""Tasks of reasoning-gym as files of prompts."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from r1ray.config.reasoning_gym import ReasoningGymConfig
from r1ray.data.prompt_rows import spool_prompts
from r1ray.data.prompts import PromptTable
from r1ray.errors import UserError
from r1ray.reward.task import missing
from r1ray.stages.reasoning_gym import files_of, write_tasks

needs_package = pytest.mark.skipif(missing() is not None, reason="reasoning-gym is not installed")


def rows(source: object, folder: Path, *, key: str = "data.train", apart_from: Any = None, **settings: Any) -> Any:
    path = write_tasks(source, folder, ReasoningGymConfig(**settings), key=key, apart_from=apart_from)
    return [json.loads(line) for line in Path(path).read_text().splitlines()]


def test_files_and_tasks_are_told_apart() -> None:
    assert files_of("reasoning_gym:chain_sum") is None and files_of("a.jsonl") == "a.jsonl" and files_of(None) is None
    assert files_of(["reasoning_gym:chain_sum", "a.jsonl"]) == ["a.jsonl"]
    assert files_of({"sums": "reasoning_gym:chain_sum", "own": "a.jsonl"}) == {"own": "a.jsonl"}
    assert write_tasks("a.jsonl", Path("x"), ReasoningGymConfig(), key="data.train") == "a.jsonl"
    assert write_tasks(None, Path("x"), ReasoningGymConfig(), key="data.eval") is None


def test_without_the_package_the_command_that_installs_it_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    missing.cache_clear()
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(UserError, match=r"reasoning_gym:chain_sum: reasoning-gym is not installed: needs pip install"):
        rows("reasoning_gym:chain_sum", tmp_path)
    missing.cache_clear()


@needs_package
def test_tasks_are_prompts_with_their_set_as_domain(tmp_path: Path) -> None:
    made = write_tasks(
        ["reasoning_gym:chain_sum+letter_counting", "own.jsonl"], tmp_path, ReasoningGymConfig(size=3), key="data.train"
    )
    assert made[1] == "own.jsonl"
    report = spool_prompts(made[0], tmp_path / "spool.arrow", key="data.train")
    assert report.num_rows == 6 and report.quarantined == ()
    assert report.kinds == {("chain_sum", "reasoning_gym"), ("letter_counting", "reasoning_gym")}
    table = PromptTable(tmp_path / "spool.arrow", render=str)
    assert table[0].id == "chain_sum-0-0" and table[0].text


@needs_package
def test_a_list_of_tasks_is_as_their_names_together(tmp_path: Path) -> None:
    listed = rows(["reasoning_gym:chain_sum", "reasoning_gym:letter_counting"], tmp_path, size=2)
    assert listed == rows("reasoning_gym:chain_sum+letter_counting", tmp_path, size=2)


@needs_package
def test_the_same_settings_make_the_same_tasks_once(tmp_path: Path) -> None:
    first = write_tasks("reasoning_gym:chain_sum", tmp_path, ReasoningGymConfig(size=3), key="data.train")
    made = Path(first).stat().st_mtime_ns
    assert write_tasks("reasoning_gym:chain_sum", tmp_path, ReasoningGymConfig(size=3), key="data.train") == first
    assert Path(first).stat().st_mtime_ns == made
    again = write_tasks("reasoning_gym:chain_sum", tmp_path / "other", ReasoningGymConfig(size=3), key="data.train")
    assert Path(again).read_text() == Path(first).read_text()
    assert rows("reasoning_gym:chain_sum", tmp_path, size=3, seed=9)[0]["prompt"] not in Path(first).read_text()


@needs_package
def test_held_out_tasks_ask_nothing_that_training_asks(tmp_path: Path) -> None:
    """A set of few questions has few that are left."""
    options = {"chain_sum": {"min_terms": 2, "max_terms": 2, "min_digits": 1, "max_digits": 1, "allow_negation": False}}
    keys: dict[str, Any] = {"size": 60, "eval_size": 30, "sets": options}
    settings = ReasoningGymConfig(**keys)
    train = write_tasks("reasoning_gym:chain_sum", tmp_path, settings, key="data.train")
    held_out = rows("reasoning_gym:chain_sum", tmp_path, key="data.eval", apart_from=train, **keys)
    asked = {json.loads(line)["prompt"] for line in Path(train).read_text().splitlines()}
    assert held_out and not asked & {row["prompt"] for row in held_out}
    alone = rows("reasoning_gym:chain_sum", tmp_path / "alone", key="data.eval", **keys)
    assert asked & {row["prompt"] for row in alone}, "without the comparison some are the same"


@needs_package
def test_a_level_of_difficulty_is_the_set_s_own_and_options_go_before_it(tmp_path: Path) -> None:
    easy, hard = (rows("reasoning_gym:chain_sum", tmp_path, size=20, difficulty=level) for level in (0, 3))
    assert sum(len(row["prompt"]) for row in easy) < sum(len(row["prompt"]) for row in hard)
    both = rows("reasoning_gym:chain_sum", tmp_path, size=1, difficulty=3, sets={"chain_sum": {"max_terms": 9}})
    assert '["max_terms", 9]' in both[0]["check"]["options"]


@needs_package
@pytest.mark.parametrize(
    ("source", "settings", "message"),
    [
        ("reasoning_gym:chain_sums", {}, r"has no set 'chain_sums'; needs some of chain_sum"),
        ("reasoning_gym:", {}, r"has no set ''"),
        ("reasoning_gym:chain_sum+", {}, r"has no set ''"),
        ("reasoning_gym:chain_sum", {"sets": {"sums": {}}}, r"sets\.sums: reasoning-gym has no set 'sums'"),
        ("reasoning_gym:chain_sum", {"sets": {"chain_sum": {"x": 1}}}, r"sets\.chain_sum\.x: .*needs some of"),
        ("reasoning_gym:chain_sum", {"sets": {"chain_sum": {"seed": 1}}}, r"sets\.chain_sum\.seed: .*no such option"),
        ("reasoning_gym:chain_sum", {"sets": {"chain_sum": {"min_terms": 0}}}, r"min_terms.*must be positive"),
        ("reasoning_gym:chain_sum", {"sets": {"chain_sum": {"min_terms": "x"}}}, r"sets\.chain_sum=.*not supported"),
        ("reasoning_gym:composite", {}, r"has no set 'composite'"),
    ],
)
def test_what_the_package_does_not_have_is_refused(
    tmp_path: Path, source: str, settings: dict[str, Any], message: str
) -> None:
    with pytest.raises(UserError, match=message):
        rows(source, tmp_path, **settings)


@needs_package
def test_a_set_whose_checker_takes_any_answer_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"none of 3 tasks of reasoning-gym's game_of_life_halting can be used"):
        rows("reasoning_gym:game_of_life_halting", tmp_path, size=3)
    assert list(tmp_path.iterdir()) == []


@needs_package
def test_a_checker_that_raises_on_nonsense_is_as_good_as_another(tmp_path: Path) -> None:
    assert len(rows("reasoning_gym:prime_factorization", tmp_path, size=3)) == 3


@needs_package
def test_a_set_without_levels_takes_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from reasoning_gym import factory

    monkeypatch.delitem(factory.CURRICULA, "chain_sum")
    with pytest.raises(UserError, match=r"difficulty=1: the set chain_sum has no levels; needs null"):
        rows("reasoning_gym:chain_sum", tmp_path, difficulty=1)
