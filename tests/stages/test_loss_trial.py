"""A loss or an advantage of the user's own is tried out: what a run could not be trained by is named."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from r1ray.algo.advantage import less_group_mean
from r1ray.algo.aggregation import row_means
from r1ray.algo.doors import BASELINES, SURROGATES
from r1ray.algo.inputs import AdvantageInputs, LossInputs
from r1ray.algo.surrogate import clipped
from r1ray.stages.loss_trial import baseline_problem, surrogate_problem

Pair = tuple[torch.Tensor, torch.Tensor]


def test_all_that_ship_pass() -> None:
    assert [surrogate_problem(SURROGATES.find(name)) for name in SURROGATES.paths] == [None] * len(SURROGATES.paths)
    assert [baseline_problem(BASELINES.find(name)) for name in BASELINES.paths] == [None] * len(BASELINES.paths)


def by_output(inputs: LossInputs) -> Pair:
    """A mean over each output of rho A, and tokens that are stale left out."""
    values_N = inputs.ratio_N * inputs.advantage_N
    means_N = row_means(values_N, inputs.lengths_B)[inputs.output_N]
    return torch.where(inputs.fresh_N, means_N, values_N), ~inputs.fresh_N


def test_one_that_reads_outputs_and_ages_passes() -> None:
    assert surrogate_problem(by_output) is None


def changed(inputs: LossInputs) -> Pair:
    inputs.advantage_N.mul_(2.0)
    return clipped(inputs)


SURROGATES_WITH_PROBLEMS: list[tuple[Callable[[LossInputs], Any], str]] = [
    (lambda inputs: clipped(inputs)[0], "returned a Tensor .* needs a pair"),
    (lambda inputs: (clipped(inputs)[0].mean(), clipped(inputs)[1]), r"first value is a Tensor \[\] .* needs a tensor"),
    (lambda inputs: (clipped(inputs)[0].double(), clipped(inputs)[1]), "first value is a .*float64; needs .*float32"),
    (lambda inputs: (clipped(inputs)[0], clipped(inputs)[1].float()), "second value is .*float32; needs .*bool"),
    (lambda inputs: (clipped(inputs)[0] / 0.0, clipped(inputs)[1]), "needs finite numbers"),
    (lambda inputs: ((inputs.logp_N * 0.0).sqrt(), clipped(inputs)[1]), "its gradient is not finite"),
    (lambda inputs: (clipped(inputs)[0].detach(), clipped(inputs)[1]), "no gradient at logp_N"),
    (lambda inputs: (inputs.advantage_N, clipped(inputs)[1]), "no gradient at logp_N"),
    (lambda inputs: (torch.from_numpy(inputs.ratio_N.numpy()), None), "raised RuntimeError"),
    (lambda inputs: (inputs.ratio_N[:6].view(6), inputs.fresh_N), "on 1 tokens of 1 outputs it raised RuntimeError"),
    (changed, "it changed its inputs"),
]


@pytest.mark.parametrize(("function", "problem"), SURROGATES_WITH_PROBLEMS)
def test_a_surrogate_that_cannot_be_trained_by_is_named(function: Callable[[LossInputs], Any], problem: str) -> None:
    with pytest.raises(AssertionError, match=problem):
        assert not surrogate_problem(function), surrogate_problem(function)


def overwritten(inputs: AdvantageInputs) -> Any:
    for rewards_G in inputs.rewards_PG:
        rewards_G -= rewards_G.mean()
    return inputs.rewards_PG


BASELINES_WITH_PROBLEMS: list[tuple[Callable[[AdvantageInputs], Any], str]] = [
    (lambda inputs: None, "returned a NoneType; needs an array for each group, of 4, 2 numbers"),
    (lambda inputs: less_group_mean(inputs)[:1], "returned a list of 1; needs an array"),
    (lambda inputs: [rewards.mean() for rewards in inputs.rewards_PG], "returned a float64 for a group of 4"),
    (lambda inputs: [rewards.tolist() for rewards in inputs.rewards_PG], "returned a list of 4 for a group of 4"),
    (lambda inputs: [rewards[:, None] for rewards in inputs.rewards_PG], r"a ndarray \[4, 1\] of float64"),
    (lambda inputs: [rewards * np.nan for rewards in inputs.rewards_PG], "needs finite numbers"),
    (lambda inputs: [rewards[[0, 1, 2, 3]] for rewards in inputs.rewards_PG], "raised IndexError"),
    (overwritten, "it changed its inputs"),
]


@pytest.mark.parametrize(("function", "problem"), BASELINES_WITH_PROBLEMS)
def test_a_baseline_that_cannot_be_trained_by_is_named(
    function: Callable[[AdvantageInputs], Any], problem: str
) -> None:
    with pytest.raises(AssertionError, match=problem):
        assert not baseline_problem(function), baseline_problem(function)


def test_what_is_masked_is_known() -> None:
    inputs = AdvantageInputs(rewards_PG=[np.array([1.0, 0.0])], lengths_PG=[np.array([3.0, 0.0])])
    assert [each.tolist() for each in inputs.masked_PG] == [[False, True]]
