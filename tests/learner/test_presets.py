"""Every preset against numbers worked out from its paper's formulas, and the promise of the learner: one global batch
has one gradient, however it is split, padded and ordered."""

from __future__ import annotations

import math
from dataclasses import replace
from functools import cache
from random import Random

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from r1ray.algo.aggregation import row_sums
from r1ray.algo.kl import kl_estimate
from r1ray.algo.variants.kl_in_reward import kl_advantages
from r1ray.commands.compose import compose
from r1ray.config import AlgoConfig
from r1ray.config.folder import config_folder
from r1ray.learner.packed import nothing
from r1ray.learner.rows import Rows, charge_kl, make_rows, microbatch_loss
from r1ray.types import Minibatch
from tests.learner.gradients import CPU, ONE_MICROBATCH, TinyPolicy, advantages_of, gradient, lengths_of, make_batch

PRESETS = sorted(path.stem for path in (config_folder() / "algo").glob("*.yaml"))


@cache
def preset(name: str) -> AlgoConfig:
    return compose(["model=m", "data.train=t", f"algo={name}"]).algo


def make_micro(lengths: list[int], rollout_logp: torch.Tensor, advantages: list[float]) -> Rows:
    """Rows of one group without their tokens: what the loss reads."""
    lengths_B = torch.tensor(lengths)
    advantage_B = torch.tensor(advantages, dtype=torch.float64)
    return Rows(
        packed=nothing(device=CPU),
        lengths_B=lengths_B,
        rollout_logp_N=rollout_logp,
        advantage_N=advantage_B.repeat_interleave(lengths_B),
        fresh_N=torch.ones(sum(lengths), dtype=torch.bool),
        group_ids=("0/0",) * len(lengths),
    )


# Four completions of one prompt: rewards, tokens in the loss (the last one is masked out), and for each token
# rho = pi_theta / pi_old and d = log pi_ref - log pi_theta, at log pi_theta = -1.
REWARDS = [1.0, 0.0, 0.5, 0.0]
LENGTHS = [2, 1, 3, 0]
RATIOS = [1.5, 0.5, 5.0, 0.5, 1.1, 1.0]
DIFFERENCES = [-0.2, 0.5, -2.9, 4.8, 0.0, -0.1]
GOLDEN = {
    # name: advantages, loss, d loss / d log pi_theta. Computed in 40 digits from each paper's formulas, written out one
    # by one, with the derivative as a difference quotient. dr_grpo with a length of 8.
    "paper": (
        [1.3055797, -0.7833478, 0.2611159, -0.7833478],
        0.8084898,
        [-0.3263647, -0.1089064, 1.3058947, -0.0278965, -0.0319142, -0.0290023],
    ),
    "deepseekmath": (
        [1.3055797, -0.7833478, 0.2611159, -0.7833478],
        1.4017053,
        [0.0012085, -0.1131231, 1.3181794, -0.5501083, -0.0319142, -0.0285899],
    ),
    "verl": (
        [1.3055797, -0.7833478, 0.2611159, -0.7833478],
        -0.0893694,
        [3.02e-05, -0.1089064, 0.0001575, -0.0217597, -0.0478713, -0.0435035],
    ),
    "trl": (
        [1.3053097, -0.7831858, 0.2610619, -0.7831858],
        0.1696903,
        [0.0, -0.1087758, 0.6526549, -0.0217552, -0.0478614, -0.0435103],
    ),
    "openrlhf": (
        [1.3055824, -0.7833495, 0.2611165, -0.7833495],
        0.1717469,
        [3.02e-05, -0.1089067, 0.6529487, -0.0217597, -0.0478714, -0.0435036],
    ),
    "nemo": (
        [2.8867413, -0.999998, 0.2886746, -0.999998],
        -0.0894585,
        [0.0003021, -0.241643, 0.8349066, -0.0240562, -0.0529237, -0.0479538],
    ),
    "dapo": (
        [1.3055797, -0.7833478, 0.2611159, -0.7833478],
        0.1523176,
        [0.0, -0.1087983, 0.6527898, -0.0217597, -0.0478713, -0.0435193],
    ),
    "dr_grpo": (
        [0.625, -0.375, 0.125, -0.375],
        0.0152344,
        [0.0, -0.0097656, 0.0585938, -0.0019531, -0.0042969, -0.0039062],
    ),
    "gspo": (
        [1.3055797, -0.7833478, 0.2611159, -0.7833478],
        0.8573787,
        [-0.1884442, -0.1884442, 1.3055797, -0.0237709, -0.0237709, -0.0237709],
    ),
    "cispo": (
        [1.3055797, -0.7833478, 0.2611159, -0.7833478],
        -0.1044464,
        [-0.3263949, -0.1087983, 0.6527898, -0.0217597, -0.0478713, -0.0435193],
    ),
    "async": (
        [1.3055797, -0.7833478, 0.2611159, -0.7833478],
        -0.0913906,
        [0.0, -0.1087983, 0.0, -0.0217597, -0.0478713, -0.0435193],
    ),
    "rloo": (
        [0.7636592, -0.6673901, 0.4037309, -0.5],
        0.6903737,
        [-0.2545531, -0.2545531, 0.2224634, -0.134577, -0.134577, -0.134577],
    ),
    "reinforce_pp": (
        [1.2126781, -1.6977494, -0.2425356, -1.6977494],
        1.1908171,
        [3.33e-05, -0.1011398, 1.4152745, 0.0, 0.0444649, 0.0404393],
    ),
}


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_gives_the_golden_advantages_loss_and_gradient(name: str) -> None:
    algo = replace(preset(name), max_completion_tokens=8)
    advantages, expected_loss, expected_gradient = GOLDEN[name]
    (found,) = advantages_of(algo, [REWARDS], [LENGTHS])
    logp = torch.full((6,), -1.0, dtype=torch.float64, requires_grad=True)
    old = -1.0 - torch.tensor(RATIOS, dtype=torch.float64).log()
    ref = -1.0 + torch.tensor(DIFFERENCES, dtype=torch.float64)
    micro = make_micro(LENGTHS[:3], old, [float(a or 0) for a in found[:3]])
    if algo.kl_placement == "reward":
        kl_B = row_sums(kl_estimate(old, ref, estimator=algo.kl_estimator, clamp=algo.kl_clamp), micro.lengths_B)
        charges = kl_advantages([("0/0", kl) for kl in kl_B.tolist()], baseline=algo.advantage_baseline)
        found[:3] = [float(a or 0) - algo.kl_coefficient * charge for a, charge in zip(found[:3], charges, strict=True)]
        micro = charge_kl(micro, charges, coefficient=algo.kl_coefficient)
    loss, _ = microbatch_loss(
        logp,
        micro,
        Minibatch(microbatches=(), num_sequences=4 if algo.count_masked else 3, num_tokens=6),
        algo,
        prox_logp_N=None if algo.resolved_correction == "none" else old,
        ref_logp_N=ref if algo.kl_coefficient and algo.kl_placement == "loss" else None,
    )
    loss.backward()
    assert found == pytest.approx(advantages, abs=1e-6)
    assert loss.item() == pytest.approx(expected_loss, abs=1e-6)
    assert logp.grad is not None and logp.grad.tolist() == pytest.approx(expected_gradient, abs=1e-6)


@pytest.mark.parametrize(
    ("kl_weighted", "expected_loss", "expected_gradient"),
    [
        (True, 0.6212744, [0.002, -0.1104425, 0.7493215, -0.0377552, -0.0478614, -0.0428437]),
        (False, 0.9552751, [0.0012085, -0.1131006, 0.6589547, -0.8251579, -0.0478614, -0.0428759]),
    ],
)
def test_trl_weighs_a_kl_that_is_asked_for(
    kl_weighted: bool, expected_loss: float, expected_gradient: list[float]
) -> None:
    """Computed as the golden numbers, with beta = 0.04."""
    assert preset("trl").kl_weighted
    algo = replace(preset("trl"), kl_coefficient=0.04, kl_weighted=kl_weighted)
    logp = torch.full((6,), -1.0, dtype=torch.float64, requires_grad=True)
    old = -1.0 - torch.tensor(RATIOS, dtype=torch.float64).log()
    (found,) = advantages_of(algo, [REWARDS], [LENGTHS])
    loss, _ = microbatch_loss(
        logp,
        make_micro(LENGTHS[:3], old, [float(a or 0) for a in found[:3]]),
        Minibatch(microbatches=(), num_sequences=4, num_tokens=6),
        algo,
        prox_logp_N=old,
        ref_logp_N=-1.0 + torch.tensor(DIFFERENCES, dtype=torch.float64),
    )
    loss.backward()
    assert loss.item() == pytest.approx(expected_loss, abs=1e-6)
    assert logp.grad is not None and logp.grad.tolist() == pytest.approx(expected_gradient, abs=1e-6)


def test_async_weighs_old_tokens_by_at_most_2_and_bounds_those_with_a_negative_advantage() -> None:
    """Two tokens: a weight of 3 that is cut to 2, rho 1, A = 1; a weight of 0.5, rho 4 that is cut to 3, A = -1."""
    algo = preset("async")
    logp = torch.full((2,), -1.0, dtype=torch.float64, requires_grad=True)
    prox = logp.detach() - torch.tensor([1.0, 4.0], dtype=torch.float64).log()
    rollout = prox - torch.tensor([3.0, 0.5], dtype=torch.float64).log()
    minibatch = Minibatch(microbatches=(), num_sequences=2, num_tokens=2)
    loss, _ = microbatch_loss(logp, make_micro([1, 1], rollout, [1.0, -1.0]), minibatch, algo, prox_logp_N=prox)
    loss.backward()
    assert loss.item() == pytest.approx(-(2.0 * 1.0 + 0.5 * -3.0) / 2)
    assert logp.grad is not None and logp.grad.tolist() == pytest.approx([-1.0, 0.0])


def test_an_entropy_bonus_is_taken_off_the_loss_in_the_same_mean() -> None:
    algo = replace(preset("dr_grpo"), max_completion_tokens=8, entropy_coefficient=0.5)
    entropy = torch.tensor([1.0, 3.0], requires_grad=True)
    micro, logp = make_micro([1, 1], torch.full((2,), -1.0), [0.0, 0.0]), torch.full((2,), -1.0, requires_grad=True)
    minibatch = Minibatch(microbatches=(), num_sequences=2, num_tokens=2)
    loss, sums = microbatch_loss(logp, micro, minibatch, algo, entropy_N=entropy)
    loss.backward()
    assert loss.item() == pytest.approx(-0.5 * 4.0 / 16) and sums["policy"].item() == 0.0
    assert entropy.grad is not None and entropy.grad.tolist() == pytest.approx([-0.5 / 16] * 2)


def test_every_preset_has_golden_numbers() -> None:
    assert sorted(GOLDEN) == PRESETS


# ------------------------------------------------------------------ invariance

POLICY, REFERENCE = TinyPolicy(0), TinyPolicy(1)
TINY = {"policy": POLICY, "reference": REFERENCE}


@pytest.mark.parametrize("name", PRESETS)
@settings(max_examples=30, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    group_sizes=st.lists(st.integers(2, 6), min_size=1, max_size=4),
    num_ranks=st.sampled_from([1, 2, 4]),
    max_tokens=st.integers(12, 60),
    multiple=st.integers(1, 16),
    correction=st.sampled_from(["auto", "token_tis", "sequence_mask", "geometric_mask"]),
)
def test_one_global_batch_has_one_gradient(
    name: str, seed: int, group_sizes: list[int], num_ranks: int, max_tokens: int, multiple: int, correction: str
) -> None:
    algo = preset(name) if correction == "auto" else replace(preset(name), correction=correction, max_staleness=0)
    rng = np.random.default_rng(seed)
    groups = make_batch(rng, group_sizes)
    rewards = [[None if rng.random() < 0.1 else float(rng.integers(0, 2)) for _ in group] for group in groups]
    masked = [[bool(rng.random() < 0.15) for _ in group] for group in groups]
    lengths = lengths_of(groups, masked)
    advantages = advantages_of(algo, rewards, lengths)
    order = list(range(sum(group_sizes)))
    expected = gradient(algo, groups, advantages, masked, order=order, **TINY, **ONE_MICROBATCH)
    Random(seed).shuffle(order)
    split = {"num_ranks": num_ranks, "max_tokens": max_tokens, "multiple": multiple}
    found = gradient(algo, groups, advantages, masked, order=order, **TINY, **split)
    assert bool(expected.isfinite().all())
    assert (found - expected).norm() <= 1e-5 * expected.norm() + 1e-12


@pytest.mark.parametrize("name", PRESETS)
def test_a_group_of_equal_rewards_adds_nothing_to_the_policy_gradient(name: str) -> None:
    algo = replace(preset(name), kl_coefficient=0.0)
    groups = make_batch(np.random.default_rng(0), [4])
    masked = [[False] * 4]
    lengths = lengths_of(groups, masked)
    advantages = advantages_of(algo, [[1.0] * 4], lengths)
    found = gradient(algo, groups, advantages, masked, order=[0, 1, 2, 3], **TINY, **ONE_MICROBATCH)
    assert advantages == [[0.0] * 4] and found.norm() == 0


@pytest.mark.parametrize("name", PRESETS)
def test_a_group_whose_every_member_is_masked_adds_nothing(name: str) -> None:
    """Beside another group, where it only counts in the denominators of presets that say so; and alone."""
    algo = preset(name)
    groups = make_batch(np.random.default_rng(0), [4, 4])
    masked = [[False] * 4, [True] * 4]
    lengths = lengths_of(groups, masked)
    advantages = advantages_of(algo, [[1.0, 0.0, 0.0, 1.0], [1.0, 0.0, 0.0, 0.0]], lengths)
    both = gradient(algo, groups, advantages, masked, order=list(range(8)), **TINY, **ONE_MICROBATCH)
    one = gradient(algo, groups[:1], advantages[:1], masked[:1], order=list(range(4)), **TINY, **ONE_MICROBATCH)
    halved = algo.count_masked and algo.aggregation != "token_mean"
    assert both.norm() > 0
    assert torch.allclose(both, one / 2 if halved else one, rtol=1e-6, atol=0)
    alone = gradient(algo, groups[1:], advantages[1:], masked[1:], order=list(range(4)), **TINY, **ONE_MICROBATCH)
    assert alone.norm() == 0


@pytest.mark.parametrize("name", PRESETS)
def test_a_row_without_tokens_is_defined_and_weighs_nothing(name: str) -> None:
    algo = preset(name)
    minibatch = Minibatch(microbatches=(), num_sequences=2, num_tokens=2)
    needs_prox = algo.resolved_correction != "none"
    gradients = []
    for lengths, advantages in (([2], [1.0]), ([0, 2], [-3.0, 1.0])):
        logp = torch.full((2,), -1.0, requires_grad=True)
        old, ref = torch.full((2,), -1.1), torch.full((2,), -1.3)
        micro = make_micro(lengths, old, advantages)
        loss, _ = microbatch_loss(logp, micro, minibatch, algo, prox_logp_N=old if needs_prox else None, ref_logp_N=ref)
        loss.backward()
        gradients.append(logp.grad)
    assert gradients[0] is not None and bool(gradients[0].isfinite().all())
    assert torch.equal(*gradients)


@pytest.mark.parametrize("name", PRESETS)
def test_no_rows_at_all_give_a_loss_of_0_with_a_gradient_of_0(name: str) -> None:
    algo = preset(name)
    micro = make_rows([], {}, learner_version=0, device=CPU)
    logp = torch.full((1,), -50.0, requires_grad=True)
    loss, _ = microbatch_loss(
        logp,
        micro,
        Minibatch(microbatches=(), num_sequences=3, num_tokens=9),
        algo,
        prox_logp_N=None if algo.resolved_correction == "none" else logp.detach(),
        ref_logp_N=torch.full((1,), -1.0),
    )
    loss.backward()
    assert loss.item() == 0
    assert logp.grad is not None and logp.grad.item() == 0


def test_the_kl_of_a_group_is_charged_against_its_baseline() -> None:
    """Groups a: 1 and 4, b: 5, in the order in which ranks hold them."""
    rows = [("a", 1.0), ("b", 5.0), ("a", 4.0)]
    assert kl_advantages(rows, baseline="leave_one_out") == [-3.0, 0.0, 3.0]
    assert kl_advantages(rows, baseline="group") == [-1.5, 0.0, 1.5]
    assert kl_advantages([], baseline="group") == []
    micro = make_micro([1, 2], torch.zeros(3), [1.0, -1.0])
    charged = charge_kl(micro, [-3.0, 3.0], coefficient=0.5)
    assert charged.advantage_N.tolist() == [2.5, -2.5, -2.5]


RECOMPUTED = {"verl", "trl", "openrlhf", "nemo", "dapo", "dr_grpo", "gspo", "cispo", "reinforce_pp", "async"}


@pytest.mark.parametrize("name", PRESETS)
def test_presets_recompute_pi_old_where_those_that_they_follow_do(name: str) -> None:
    assert preset(name).is_old_recomputed == (name in RECOMPUTED)


def share_with_gradient(algo: AlgoConfig, *, kl: float) -> float:
    """Of 500 sequences of an unchanged policy, whose engine differs from it by so much in a token."""
    generator = torch.Generator().manual_seed(0)
    lengths = torch.randint(50, 400, (500,), generator=generator).tolist()
    logp = torch.full((sum(lengths),), -1.0, dtype=torch.float64, requires_grad=True)
    noise = math.sqrt(2 * kl) * torch.randn(sum(lengths), generator=generator)
    micro = make_micro(lengths, logp.detach() + noise, torch.randn(500, generator=generator).tolist())
    loss, _ = microbatch_loss(
        logp,
        micro,
        Minibatch(microbatches=(), num_sequences=500, num_tokens=sum(lengths)),
        algo,
        prox_logp_N=logp.detach() if algo.is_old_recomputed else None,
    )
    loss.backward()
    assert logp.grad is not None
    return float((row_sums(logp.grad.abs(), torch.tensor(lengths)) > 0).double().mean())


def test_gspo_learns_from_every_sequence_although_engine_and_learner_round_differently() -> None:
    """Its clip of 3e-4 is far below what engines and learners in bfloat16 differ by, a KL of 1e-3."""
    assert share_with_gradient(preset("gspo"), kl=1e-3) >= 0.99
    assert share_with_gradient(replace(preset("gspo"), old_logprobs="engine"), kl=1e-3) < 0.8
