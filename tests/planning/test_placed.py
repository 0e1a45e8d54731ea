"""One GPU is for learner and engine in turn, unless something is said of them that this cannot be."""

from __future__ import annotations

import pytest

from r1ray.commands.compose import compose
from r1ray.config import RunConfig
from r1ray.errors import UserError
from r1ray.planning.placed import takes_turns, with_placement

OWN = ("model=m", "data.train=t")


def placed(*overrides: str, num_gpus: int = 1) -> RunConfig:
    return with_placement(compose([*OWN, *overrides]), num_gpus=num_gpus)


def test_one_gpu_is_used_in_turn() -> None:
    assert takes_turns(placed())
    assert takes_turns(placed("rollout.gpus_per_actor=1", "learner.gpus_per_rank=1"))


@pytest.mark.parametrize("num_gpus", [0, 2, 8])
def test_other_numbers_of_gpus_are_divided(num_gpus: int) -> None:
    assert not takes_turns(placed(num_gpus=num_gpus))


@pytest.mark.parametrize(
    "overrides",
    [
        ("placement=separate",),
        ("learner.gpus_per_rank=0",),
        ("rollout.gpus_per_actor=0",),
        ("learner.num_ranks=2",),
        ("rollout.num_actors=2",),
        ("recipe=sft", "supervised.train=t"),
        ("recipe=evaluate", "data.eval=e"),
    ],
)
def test_what_is_asked_for_otherwise_stays_as_it_is(overrides: tuple[str, ...]) -> None:
    assert placed(*overrides) == compose([*OWN, *overrides])


def test_what_cannot_take_turns_is_refused_on_one_gpu() -> None:
    with pytest.raises(UserError, match=r"there is one GPU, .* in turn: algo.max_staleness=1"):
        placed("algo.max_staleness=1")


def test_a_recipe_of_several_stages_is_decided_as_a_whole() -> None:
    graph = placed("recipe=r1", "data.eval=e", "++graph.cold_start_data.collect.examples=x")
    assert graph.placement == "colocated"
