"""Every recipe is a list in which each stage's inputs were made before it."""

from __future__ import annotations

import pytest

from r1ray.commands.compose import compose
from r1ray.config import RunConfig
from r1ray.config import run as config_run
from r1ray.config.run import PROMPTS_OF, SUPERVISED_RECIPES
from r1ray.recipes import RECIPES, build, stages_of
from r1ray.stages.base import Input

SUPERVISED = ["supervised.train=t", "supervised.max_tokens=512", "learner.max_tokens_per_microbatch=1024"]


@pytest.mark.parametrize("recipe", sorted(RECIPES))
@pytest.mark.parametrize("start", [["experiment=quickstart"], ["model=m", "data.train=t", "data.eval=e"]])
def test_every_input_was_made(recipe: str, start: list[str]) -> None:
    if recipe in PROMPTS_OF and "experiment=quickstart" in start:
        pytest.skip("is of a model that is there")
    made: set[str] = set()
    for stage in stages_of(
        compose(
            [*start, f"recipe={recipe}", *(SUPERVISED if recipe in SUPERVISED_RECIPES else ["algo.teacher.model=d"])]
        )
    ):
        assert set(stage.needs) <= made
        made.add(stage.makes)


def test_r1_zero_is_reinforcement_learning_on_a_base_model_and_nothing_else() -> None:
    assert [stage.name for stage in stages_of(compose(["model=m", "data.train=t"]))] == ["rl"]
    assert [stage.name for stage in stages_of(compose(["experiment=quickstart"]))] == ["prepare", "rl"]


@pytest.mark.parametrize(("recipe", "makes"), [("sft", "policy"), ("reward_model", "reward_model")])
def test_a_supervised_recipe_is_one_stage_on_the_users_model(recipe: str, makes: str) -> None:
    stages = stages_of(compose(["model=m", "supervised.train=t", f"recipe={recipe}"]))
    assert [(stage.name, stage.makes, stage.needs) for stage in stages] == [(recipe, makes, ())]


def test_the_supervised_recipes_are_those_that_the_configuration_knows() -> None:
    assert set(SUPERVISED_RECIPES) <= set(RECIPES) == set(config_run.RECIPES)


EVERYTHING = [
    "model=m",
    "data.train=t",
    "data.eval=e",
    "supervised.train=s",
    "supervised.eval=se",
    "judge.model=j",
    "collect.examples=x",
    "collect.decontaminate=[d1,d2]",
    "++collect.sources.mine={path: own, ratio: 0.5}",
    "++reward.models.helpful={model: h}",
    "algo.teacher.model=d",
    "algo.teacher.domains={code: c}",
    "++eval.compare=[{against: before, name: b, expect: {pass@1: up}}]",
]
"""A configuration with a path in every key that some recipe reads."""
REINFORCED = {
    "model": "m",
    "data.train": "t",
    "data.eval": "e",
    "reward.models.helpful.model": "h",
    "algo.teacher.model": "d",
    "algo.teacher.domains.code": "c",
}
"""Paths that reinforcement learning reads."""


@pytest.mark.parametrize(
    ("recipe", "read"),
    [
        ("r1_zero", REINFORCED),
        ("on_policy_distill", REINFORCED),
        ("sft", {"model": "m", "supervised.train": "s", "supervised.eval": "se"}),
        ("reward_model", {"model": "m", "supervised.train": "s", "supervised.eval": "se"}),
        ("extend", {"model": "m"}),
        ("evaluate", {"model": "m", "data.eval": "e", "eval.compare.against": "before", "judge.model": "j"}),
        (
            "collect",
            {
                "model": "m",
                "data.train": "t",
                "collect.examples": "x",
                "collect.decontaminate": "d2",
                "collect.sources.mine.path": "own",
                "judge.model": "j",
            },
        ),
    ],
)
def test_a_stage_names_what_it_reads_and_nothing_else(recipe: str, read: dict[str, str]) -> None:
    config = compose([*EVERYTHING, f"recipe={recipe}"])
    assert {each.key: each.path for each in build(config).reads()} == read


def test_every_recipe_has_a_stage_that_names_what_it_reads() -> None:
    for recipe in RECIPES:
        inputs = build(compose([*EVERYTHING, f"recipe={recipe}"])).reads()
        assert Input("model", "m", "model") in inputs


def test_what_a_maker_makes_is_read_in_the_place_of_the_users() -> None:
    prepare, rl = stages_of(compose(["experiment=quickstart"]))
    assert prepare.reads() == []
    assert [(each.key, each.path) for each in rl.reads() if each.is_made] == [
        ("model", "@prepare/model"),
        ("data.train", "@prepare/train.parquet"),
        ("data.eval", "@prepare/heldout.parquet"),
    ]


@pytest.mark.parametrize("recipe", sorted(RECIPES))
def test_a_recipe_trains_or_samples_or_needs_no_actors(recipe: str) -> None:
    config: RunConfig = compose([*EVERYTHING, f"recipe={recipe}"])
    kind = (config.has_learner, config.only_learner, config.only_samples, config.starts_actors)
    assert (
        kind
        == {
            "r1_zero": (True, False, False, True),
            "on_policy_distill": (True, False, False, True),
            "sft": (True, True, False, True),
            "reward_model": (True, True, False, True),
            "collect": (False, False, True, True),
            "evaluate": (False, False, True, True),
            "extend": (False, False, False, False),
        }[recipe]
    )
    assert config.sequences_per_row == (2 if recipe == "reward_model" else 1)
