"""What ships, and what is a user's own, goes through one door."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
import torch

from r1ray.algo.advantage import Array, step_advantages
from r1ray.algo.doors import BASELINES, EPSILON_PLACES, ESTIMATORS, RATIOS, SCALES, SURROGATES, Door
from r1ray.algo.inputs import AdvantageInputs, LossInputs
from r1ray.algo.loss import grpo_loss
from r1ray.config import algo

DOORS = (
    (BASELINES, algo.BASELINES),
    (SCALES, algo.ADVANTAGE_STDS),
    (EPSILON_PLACES, algo.EPSILON_PLACES),
    (RATIOS, algo.RATIOS),
    (SURROGATES, algo.SURROGATES),
    (ESTIMATORS, algo.KL_ESTIMATORS),
)


@pytest.mark.parametrize(("door", "names"), DOORS, ids=[door.choice for door, _ in DOORS])
def test_every_name_of_the_configuration_has_a_function(door: Door[object], names: Sequence[str]) -> None:
    assert set(door.paths) == set(names)
    assert all(callable(door.find(name)) for name in names)


def less_the_best(inputs: AdvantageInputs) -> list[Array]:
    return [rewards_G - rewards_G.max() for rewards_G in inputs.rewards_PG]


def doubled(inputs: LossInputs) -> tuple[torch.Tensor, torch.Tensor]:
    return 2.0 * inputs.ratio_N * inputs.advantage_N, inputs.ratio_N > 1.0 + inputs.clip_high


def test_a_baseline_of_the_users_own_is_named_by_its_path() -> None:
    path = f"{__name__}:less_the_best"
    assert step_advantages([[1.0, None, 0.25]], [[1, 1, 1]], baseline=path, std="none", epsilon=0.0) == [
        [0.0, None, -0.75]
    ]


def test_a_surrogate_of_the_users_own_is_named_by_its_path() -> None:
    logp = torch.tensor([2.0]).log()
    loss, sums = grpo_loss(
        logp,
        torch.zeros(1),
        None,
        torch.tensor([3.0]),
        torch.tensor([0.5]),
        torch.ones(1, dtype=torch.int64),
        clip_low=0.2,
        clip_high=0.2,
        kl_coefficient=0.0,
        surrogate=f"{__name__}:doubled",
    )
    assert loss.item() == pytest.approx(-6.0)
    assert sums["clipped"].item() == 1.0


@pytest.mark.parametrize("name", ["ppo", "r1ray.no_such_module:f", "r1ray.algo.kl:no_such_function", "r1ray.algo.kl:"])
def test_a_name_without_a_function_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match=name):
        SURROGATES.find(name)
