"""A micro-batch as tensors, end to end or as a tree, and its part of the minibatch loss: where the configuration meets
``r1ray.algo``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch

from r1ray.algo.aggregation import token_weights
from r1ray.algo.loss import grpo_loss
from r1ray.algo.mismatch import importance_weights
from r1ray.algo.variants.entropy_bonus import entropy_bonus
from r1ray.config import AlgoConfig
from r1ray.learner.packed import Packed, nothing, pack_sequences, pack_tree
from r1ray.types import BoolArray, Minibatch, SampleRef, Segment, Trajectory


@dataclass(frozen=True, slots=True)
class Rows:
    """Trajectories in one row, each branch a sequence of its own, and the per-token numbers of the loss of all policy
    tokens. ``B`` counts trajectories: what the loss knows of one lies together, whatever its branches, and wherever its
    tokens lie in the row."""

    packed: Packed
    lengths_B: torch.Tensor  # [B] int64, policy tokens of all branches of each trajectory
    rollout_logp_N: torch.Tensor  # [N] float32
    advantage_N: torch.Tensor  # [N] float32
    fresh_N: torch.Tensor  # [N] bool: sampled by the learner's own version
    group_ids: tuple[str, ...]
    """Of each trajectory."""

    @property
    def is_empty(self) -> bool:
        return not self.group_ids

    @property
    def num_tokens(self) -> int:
        """Tokens of the forward pass, without padding."""
        return 0 if self.is_empty else self.packed.num_tokens


def make_rows(
    samples: Sequence[SampleRef],
    trajectories: Mapping[str, Trajectory],
    *,
    learner_version: int,
    device: torch.device,
    multiple: int = 1,
    as_tree: bool = False,
    max_tokens: int | None = None,
) -> Rows:
    """Return the sampled trajectories as rows. No samples give one row that weighs nothing, so that a rank without work
    can still take part in the collectives of a forward and backward pass.

    Args:
        multiple: as of :func:`r1ray.learner.packed.pack_sequences`.
        as_tree: compute common beginnings once, except where the engine's experts are given: they may differ.
        max_tokens: a tree that is longer shares what is not worth it too.
    """
    if not samples:
        return Rows(
            packed=nothing(device=device, multiple=multiple),
            lengths_B=torch.ones(1, dtype=torch.int64, device=device),
            rollout_logp_N=torch.zeros(1, device=device),
            advantage_N=torch.zeros(1, device=device),
            fresh_N=torch.zeros(1, dtype=torch.bool, device=device),
            group_ids=(),
        )
    sampled = [trajectories[sample.id] for sample in samples]
    policy = [segment for each in sampled for segment in each.policy_segments]  # in the order of the chosen tokens
    lengths = torch.tensor([each.num_policy_tokens for each in sampled])
    branches = [(each, branch) for each in sampled for branch in each.branches]
    sequences = [_sequence(*each) for each in branches]
    if as_tree and not any(segment.experts.size for segment in policy):
        packed = pack_tree(sequences, device=device, multiple=multiple)
        if max_tokens is not None and packed.num_tokens > max_tokens:
            packed = pack_tree(sequences, device=device, multiple=multiple, shares_all=True)
    else:
        packed = pack_sequences(sequences, device=device, multiple=multiple)
        experts = _given_experts(branches, num_rows=len(packed.input_ids_N), device=device)
        packed = replace(packed, choices_NLK=experts)
    return Rows(
        packed=packed,
        lengths_B=lengths.to(device),
        rollout_logp_N=torch.from_numpy(np.concatenate([segment.logprobs for segment in policy])).to(device),
        advantage_N=torch.cat([_advantages(*each) for each in zip(samples, sampled, strict=True)]).to(device),
        fresh_N=torch.from_numpy(np.concatenate([_is_fresh(each, learner_version) for each in policy])).to(device),
        group_ids=tuple(each.group_id for each in sampled),
    )


def _advantages(sample: SampleRef, trajectory: Trajectory) -> torch.Tensor:
    """Return the advantage of each policy token of a trajectory, [|o_i|] float32: of its turn, if turns have their
    own."""
    lengths = torch.tensor([len(segment.token_ids) for segment in trajectory.policy_segments])
    by_turn = sample.turn_advantages or (sample.advantage,) * len(lengths)
    return torch.tensor(by_turn, dtype=torch.float32).repeat_interleave(lengths)


def _sequence(trajectory: Trajectory, branch: Sequence[Segment]) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the token ids of a branch, [T] int64, and which of them are chosen, [T] bool: those that were sampled."""
    parts = [trajectory.prompt_token_ids, *(segment.token_ids for segment in branch)]
    is_policy = [False, *(segment.kind == "policy" for segment in branch)]
    ids = np.concatenate(parts).astype(np.int64)
    return torch.from_numpy(ids), torch.from_numpy(np.repeat(is_policy, [len(part) for part in parts]))


def _given_experts(
    branches: Sequence[tuple[Trajectory, Sequence[Segment]]], *, num_rows: int, device: torch.device
) -> torch.Tensor | None:
    """Return the experts that the engine chose, [N, layers, K] int32, with -1 where it does not say; None where it
    says nothing. Of a token that it read in several turns, those of the first."""
    known = next((each.experts for _, branch in branches for each in branch if each.experts.size), None)
    if known is None:
        return None
    given = np.full((num_rows, *known.shape[1:]), -1, dtype=np.int32)
    start = 0
    for trajectory, branch in branches:
        done = 0
        for segment in branch:
            if (rows := len(segment.experts)) > done:
                given[start + done : start + rows] = segment.experts[done:]
                done = rows
        start += len(trajectory.prompt_token_ids) + sum(len(segment.token_ids) for segment in branch)
    return torch.from_numpy(given).to(device)


def _is_fresh(segment: Segment, learner_version: int) -> BoolArray:
    """Return which tokens of a policy segment the learner's own version sampled."""
    is_fresh = np.zeros(len(segment.token_ids), dtype=np.bool_)
    for span in segment.versions:
        is_fresh[span.start : span.end] = span.version == learner_version
    return is_fresh


def charge_kl(micro: Rows, kl_advantage_B: Sequence[float], *, coefficient: float) -> Rows:
    """The rows with the advantages of r_i - coefficient KL_i. Baselines are linear: A(r - beta KL) = A(r) -
    beta A(KL)."""
    if micro.is_empty:
        return micro
    charge_B = coefficient * torch.tensor(kl_advantage_B, dtype=torch.float32, device=micro.advantage_N.device)
    return replace(micro, advantage_N=micro.advantage_N - charge_B.repeat_interleave(micro.lengths_B))


def microbatch_loss(
    logp_N: torch.Tensor,
    micro: Rows,
    minibatch: Minibatch,
    algo: AlgoConfig,
    *,
    prox_logp_N: torch.Tensor | None = None,
    ref_logp_N: torch.Tensor | None = None,
    entropy_N: torch.Tensor | None = None,
    teacher_logp_N: torch.Tensor | None = None,
) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
    """The loss and its metrics as of :func:`r1ray.algo.loss.grpo_loss`; both add up over the micro-batches and ranks of
    a minibatch. Rows without work weigh nothing.

    Args:
        prox_logp_N: log pi_theta before the first update of the step, in place of the engine's log pi_old, and the
            numerator of the mismatch weights; None: the engine's, and no weights.
        ref_logp_N: None for no KL term.
        entropy_N: with gradient where ``algo.entropy_coefficient`` is above 0, and is read only then.
        teacher_logp_N: None without a teacher.
    """
    weights_N = token_weights(
        micro.lengths_B,
        aggregation=algo.aggregation,
        num_sequences=minibatch.num_sequences,
        num_tokens=minibatch.num_tokens,
        max_completion_tokens=algo.max_completion_tokens,
    ) * (not micro.is_empty)
    importance_N = None
    if prox_logp_N is not None and algo.resolved_correction != "none":
        importance_N = importance_weights(
            prox_logp_N,
            micro.rollout_logp_N,
            micro.lengths_B,
            correction=algo.resolved_correction,
            cap=algo.correction_cap,
            floor=algo.correction_floor,
        )
    loss, sums = grpo_loss(
        logp_N,
        micro.rollout_logp_N if prox_logp_N is None else prox_logp_N,
        ref_logp_N,
        micro.advantage_N,
        weights_N,
        micro.lengths_B,
        surrogate=algo.surrogate,
        ratio=algo.ratio,
        log_ratio_clamp=algo.log_ratio_clamp,
        clip_low=algo.clip_low,
        clip_high=algo.clip_high,
        dual_clip=algo.dual_clip,
        kl_coefficient=algo.kl_coefficient,
        kl_estimator=algo.kl_estimator,
        kl_clamp=algo.kl_clamp,
        kl_weighted=algo.kl_weighted,
        importance_N=importance_N,
        rollout_logp_N=micro.rollout_logp_N,
        fresh_N=micro.fresh_N,
        teacher_logp_N=teacher_logp_N,
        teacher_coefficient=algo.teacher.coefficient,
    )
    if algo.entropy_coefficient:
        assert entropy_N is not None
        loss = loss - entropy_bonus(entropy_N, weights_N, coefficient=algo.entropy_coefficient)
    return loss, sums
