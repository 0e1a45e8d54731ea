"""Every recipe is a list in which each stage's inputs were made before it."""

from __future__ import annotations

import pytest

from r1ray.commands.compose import compose
from r1ray.config import PROMPTS_OF, SUPERVISED_RECIPES
from r1ray.recipes import RECIPES, stages_of

SUPERVISED = ["supervised.train=t", "supervised.max_tokens=512", "learner.max_tokens_per_microbatch=1024"]


@pytest.mark.parametrize("recipe", sorted(RECIPES))
@pytest.mark.parametrize("start", [["experiment=quickstart"], ["model=m", "data.train=t", "data.eval=e"]])
def test_every_input_was_made(recipe: str, start: list[str]) -> None:
    if recipe in PROMPTS_OF and "experiment=quickstart" in start:
        pytest.skip("is of a model that is there")
    made: set[str] = set()
    for stage in stages_of(
        compose([*start, f"recipe={recipe}", *(SUPERVISED if recipe in SUPERVISED_RECIPES else [])])
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
    assert set(SUPERVISED_RECIPES) <= set(RECIPES)
