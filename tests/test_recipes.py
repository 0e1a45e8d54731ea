"""Every recipe is a list in which each stage's inputs were made before it."""

from __future__ import annotations

import pytest

from r1ray.main import compose
from r1ray.recipes import RECIPES, stages_of


@pytest.mark.parametrize("recipe", sorted(RECIPES))
@pytest.mark.parametrize("start", [["experiment=quickstart"], ["model=m", "data.train=t"]])
def test_every_input_was_made(recipe: str, start: list[str]) -> None:
    made: set[str] = set()
    for stage in stages_of(compose([*start, f"recipe={recipe}"])):
        assert set(stage.needs) <= made
        made.add(stage.makes)


def test_r1_zero_is_reinforcement_learning_on_a_base_model_and_nothing_else() -> None:
    assert [stage.name for stage in stages_of(compose(["model=m", "data.train=t"]))] == ["rl"]
    assert [stage.name for stage in stages_of(compose(["experiment=quickstart"]))] == ["prepare", "rl"]
