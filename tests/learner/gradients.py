"""The gradient of one minibatch: planned, put into rows and summed as the learner's ranks do, over any model."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
import torch

from r1ray.algo.advantage import step_advantages
from r1ray.algo.aggregation import row_sums
from r1ray.algo.batching import plan_shards
from r1ray.algo.kl import kl_estimate
from r1ray.algo.variants.kl_in_reward import kl_advantages
from r1ray.config import AlgoConfig
from r1ray.learner.packed import Packed
from r1ray.learner.rows import Rows, charge_kl, make_rows, microbatch_loss
from r1ray.rollout.engine import one_segment
from r1ray.types import SampleRef, Trajectory, VersionSpan
from tests.learner.lending import by_id

CPU = torch.device("cpu")
VOCABULARY = 12
ONE_MICROBATCH = {"num_ranks": 1, "max_tokens": 10_000, "multiple": 1}
Forward = Callable[[Packed], torch.Tensor]
"""log p of the chosen tokens of packed sequences."""


class TinyPolicy(torch.nn.Module):
    """log p of each policy token from the two tokens before it, through real parameters, in float64."""

    def __init__(self, seed: int) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(seed)
        for name, rows in (("near", VOCABULARY), ("far", VOCABULARY), ("out", 8)):
            values = torch.randn(rows, 8 if rows == VOCABULARY else VOCABULARY, generator=generator)
            self.register_parameter(name, torch.nn.Parameter(values.double() * 0.3))

    def forward(self, packed: Packed) -> torch.Tensor:
        before = packed.input_ids_N.roll(1)  # prompts have two tokens or more: none looks into another sequence
        hidden = self.near[packed.input_ids_N] + self.far[before]
        table = torch.log_softmax(torch.tanh(hidden) @ self.out, dim=-1)[packed.predictor_C]
        logp: torch.Tensor = table.gather(-1, packed.target_C.unsqueeze(-1)).squeeze(-1)
        return logp


def make_batch(
    rng: np.random.Generator, group_sizes: list[int], *, vocabulary: int = VOCABULARY
) -> list[list[Trajectory]]:
    """Groups of completions of unlike lengths, log pi_old near a uniform policy's."""
    groups = []
    for group, size in enumerate(group_sizes):
        prompt = rng.integers(1, vocabulary, int(rng.integers(2, 5))).astype(np.int32)
        members = []
        for index in range(size):
            length = int(rng.integers(1, 9))
            members.append(
                one_segment(
                    group_id=f"0/{group}",
                    index=index,
                    prompt_token_ids=prompt,
                    token_ids=rng.integers(1, vocabulary, length).astype(np.int32),
                    logprobs=rng.normal(-math.log(vocabulary), 0.3, length).astype(np.float32),
                    versions=(VersionSpan(0, 0, length),),
                )
            )
        groups.append(members)
    return groups


def advantages_of(
    algo: AlgoConfig, rewards: list[list[float | None]], lengths: list[list[int]]
) -> list[list[float | None]]:
    """As the controller takes them."""
    return step_advantages(
        rewards,
        lengths,
        baseline=algo.advantage_baseline,
        std=algo.advantage_std,
        epsilon=algo.advantage_epsilon,
        epsilon_in=algo.advantage_epsilon_in,
    )


def lengths_of(groups: list[list[Trajectory]], masked: list[list[bool]]) -> list[list[int]]:
    """Tokens of each trajectory that are in the loss."""
    return [
        [0 if is_masked else each.num_policy_tokens for each, is_masked in zip(group, masks, strict=True)]
        for group, masks in zip(groups, masked, strict=True)
    ]


def gradient(
    algo: AlgoConfig,
    groups: list[list[Trajectory]],
    advantages: list[list[float | None]],
    masked: list[list[bool]],
    *,
    policy: torch.nn.Module,
    reference: Forward,
    forward: Forward | None = None,
    old: Forward | None = None,
    num_ranks: int,
    max_tokens: int,
    order: list[int],
    multiple: int,
    as_tree: bool = False,
) -> torch.Tensor:
    """The gradient of one minibatch with respect to all parameters of ``policy``, end to end.

    Args:
        forward: how the policy computes log-probabilities; calling it, where none is given.
        old: the policy before the first update of the step; the same, where none is given.
        order: in which the trajectories of all groups are sampled.
        as_tree: compute common beginnings once.
    """
    compute: Forward = forward or policy
    trajectories = [each for group in groups for each in group]
    numbers = [a for group in advantages for a in group]
    lengths = [length for group in lengths_of(groups, masked) for length in group]
    chosen = [i for i in order if numbers[i] is not None and (lengths[i] or algo.count_masked)]
    shards = plan_shards(
        [[SampleRef(trajectories[i].id, float(numbers[i] or 0), trajectories[i].num_row_tokens) for i in chosen]],
        [[lengths[i] for i in chosen]],
        num_minibatches=1,
        num_ranks=num_ranks,
        max_tokens_per_microbatch=max_tokens,
        learner_version=0,
        seed=0,
    )
    plans = [
        (minibatch, micro) for shard in shards for minibatch in shard.minibatches for micro in minibatch.microbatches
    ]
    named = by_id(trajectories)
    rows = [
        make_rows(micro, named, learner_version=0, device=CPU, multiple=multiple, as_tree=as_tree) for _, micro in plans
    ]
    with torch.no_grad():
        prox = [(old or compute)(micro.packed) for micro in rows]
        ref = [reference(micro.packed) for micro in rows]
    charges_kl = algo.kl_coefficient > 0 and algo.kl_placement == "reward"
    if charges_kl:
        rows = _charged(algo, rows, ref)
    policy.zero_grad()
    total = torch.zeros((), dtype=torch.float64)
    for (minibatch, _), micro, prox_N, ref_N in zip(plans, rows, prox, ref, strict=True):
        loss, _ = microbatch_loss(
            compute(micro.packed),
            micro,
            minibatch,
            algo,
            prox_logp_N=None if algo.resolved_correction == "none" else prox_N,
            ref_logp_N=ref_N if algo.kl_coefficient and not charges_kl else None,
        )
        total = total + loss
    if total.requires_grad:
        total.backward()
    return torch.cat(
        [torch.zeros_like(p).flatten() if p.grad is None else p.grad.flatten() for p in policy.parameters()]
    )


def _charged(algo: AlgoConfig, rows: Sequence[Rows], ref: Sequence[torch.Tensor]) -> list[Rows]:
    """The rows with the KL taken off the rewards."""
    own: list[tuple[str, float]] = []
    for micro, ref_N in zip(rows, ref, strict=True):
        kl_N = kl_estimate(micro.rollout_logp_N, ref_N, estimator=algo.kl_estimator, clamp=algo.kl_clamp)
        own += zip(micro.group_ids, row_sums(kl_N, micro.lengths_B).tolist(), strict=False)
    charges = iter(kl_advantages(own, baseline=algo.advantage_baseline))
    return [charge_kl(m, [next(charges) for _ in m.group_ids], coefficient=algo.kl_coefficient) for m in rows]
