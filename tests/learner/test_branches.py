"""A trajectory that is cut in two branches has the gradient of the same trajectory in one row."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from r1ray.config import AlgoConfig
from r1ray.config.algo import (
    ADVANTAGE_STDS,
    AGGREGATIONS,
    BASELINES,
    CORRECTIONS,
    KL_ESTIMATORS,
    KL_PLACEMENTS,
    RATIOS,
    SURROGATES,
)
from r1ray.learner.packed import Packed
from r1ray.learner.policy import PolicyModel
from r1ray.types import Segment, Trajectory, VersionSpan
from tests.learner.gradients import ONE_MICROBATCH, TinyPolicy, advantages_of, gradient, lengths_of, make_batch

AXES: dict[str, tuple[str, ...]] = {
    "surrogate": SURROGATES,
    "ratio": RATIOS,
    "aggregation": AGGREGATIONS,
    "advantage_baseline": BASELINES,
    "advantage_std": ADVANTAGE_STDS,
    "correction": tuple(name for name in CORRECTIONS if name != "auto"),
    "kl_placement": KL_PLACEMENTS,
    "kl_estimator": KL_ESTIMATORS,
}
EACH = [pytest.param(axis, value, id=f"{axis}={value}") for axis, values in AXES.items() for value in values]
NOTHING = np.zeros(0, dtype=np.float32)


def make_algo(drawn: dict[str, str], axis: str, value: str) -> AlgoConfig:
    """What was drawn with ``axis`` at ``value``; of two that do not go together the drawn one gives way."""
    chosen = drawn | {axis: value}
    if (chosen["surrogate"], chosen["ratio"]) == ("reinforce", "sequence"):
        chosen |= {"ratio": "token"} if axis == "surrogate" else {"surrogate": "clip"}
    if chosen["kl_placement"] == "reward" and chosen["advantage_std"] != "none":
        chosen |= {"kl_placement": "loss"} if axis == "advantage_std" else {"advantage_std": "none"}
    return AlgoConfig(**chosen, clip_low=0.2, clip_high=0.3, kl_coefficient=0.1, max_completion_tokens=8)  # type: ignore[arg-type]


def part(segment: Segment, start: int, end: int, *, branch: int) -> Segment:
    """Some of a policy segment's tokens."""
    spans = [VersionSpan(s.version, max(s.start, start) - start, min(s.end, end) - start) for s in segment.versions]
    return replace(
        segment,
        token_ids=segment.token_ids[start:end],
        logprobs=segment.logprobs[start:end],
        versions=tuple(span for span in spans if span.start < span.end),
        branch=branch,
    )


def given_again(segment: Segment) -> Segment:
    return replace(segment, kind="context", logprobs=NOTHING, versions=(), branch=1)


def cut(trajectory: Trajectory, at: int) -> Trajectory:
    """The same trajectory; what follows the first ``at`` policy tokens is sampled in a second branch, to which
    everything before is given as context."""
    first: list[Segment] = []
    second: list[Segment] = []
    for segment in trajectory.segments:
        keep = min(len(segment.token_ids), at) if segment.kind == "policy" else len(segment.token_ids) * (at > 0)
        if segment.kind == "context":
            first += [segment] if keep else []
            second += [] if keep else [replace(segment, branch=1)]
            continue
        first += [part(segment, 0, keep, branch=0)] if keep else []
        second += [part(segment, keep, len(segment.token_ids), branch=1)] if keep < len(segment.token_ids) else []
        at -= keep
    return replace(trajectory, segments=(*first, *map(given_again, first), *second))


def in_turns(trajectory: Trajectory, rng: np.random.Generator, *, vocabulary: int) -> Trajectory:
    """The same policy tokens in two turns, with something given between them."""
    (segment,) = trajectory.segments
    at, end = int(rng.integers(0, len(segment.token_ids))), len(segment.token_ids)
    told = Segment(
        kind="context", token_ids=rng.integers(1, vocabulary, 3).astype(np.int32), logprobs=NOTHING, role="tool"
    )
    turns = [part(segment, 0, at, branch=0), told] if at else []
    return replace(trajectory, segments=(*turns, part(segment, at, end, branch=0)))


def cut_some(groups: list[list[Trajectory]], rng: np.random.Generator) -> list[list[Trajectory]]:
    """Most trajectories cut somewhere, the others as they are."""

    def somewhere(trajectory: Trajectory) -> Trajectory:
        if trajectory.num_policy_tokens < 2 or rng.random() < 0.25:
            return trajectory
        return cut(trajectory, int(rng.integers(1, trajectory.num_policy_tokens)))

    return [[somewhere(each) for each in group] for group in groups]


def make_step(seed: int, group_sizes: list[int], *, vocabulary: int) -> tuple[list[list[Trajectory]], Any, Any]:
    """Groups of trajectories of one and of two turns, their rewards, and which of them are masked out."""
    rng = np.random.default_rng(seed)
    groups = make_batch(rng, group_sizes, vocabulary=vocabulary)
    groups = [[in_turns(t, rng, vocabulary=vocabulary) if rng.random() < 0.5 else t for t in group] for group in groups]
    rewards = [[None if rng.random() < 0.1 else float(rng.integers(0, 2)) for _ in group] for group in groups]
    masked = [[bool(rng.random() < 0.15) for _ in group] for group in groups]
    return groups, rewards, masked


def test_a_cut_leaves_every_policy_token_with_what_the_policy_saw_before_it() -> None:
    groups, _, _ = make_step(3, [6], vocabulary=50)
    (cut_groups,) = cut_some(groups, np.random.default_rng(3))
    assert any(len(each.branches) == 2 for each in cut_groups) and any(each.num_context_tokens for each in groups[0])

    def seen(trajectory: Trajectory) -> list[tuple[list[int], int]]:
        found = []
        for branch in trajectory.branches:
            before = trajectory.prompt_token_ids.tolist()
            for segment in branch:
                for token in segment.token_ids.tolist():
                    found += [(list(before), token)] if segment.kind == "policy" else []
                    before.append(token)
        return found

    for whole, each in zip(groups[0], cut_groups, strict=True):
        assert seen(each) == seen(whole)
        assert each.num_row_tokens >= whole.num_row_tokens
        assert np.array_equal(*(np.concatenate([s.logprobs for s in t.policy_segments]) for t in (whole, each)))


POLICY, REFERENCE, OLD = TinyPolicy(0), TinyPolicy(1), TinyPolicy(2)


@pytest.mark.parametrize(("axis", "value"), EACH)
@settings(max_examples=5, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    group_sizes=st.lists(st.integers(2, 5), min_size=1, max_size=3),
    drawn=st.fixed_dictionaries({name: st.sampled_from(values) for name, values in AXES.items()}),
    num_ranks=st.sampled_from([1, 2]),
    max_tokens=st.integers(40, 90),
    multiple=st.integers(1, 8),
)
def test_a_trajectory_in_two_branches_has_the_gradient_of_one_row(
    axis: str,
    value: str,
    seed: int,
    group_sizes: list[int],
    drawn: dict[str, str],
    num_ranks: int,
    max_tokens: int,
    multiple: int,
) -> None:
    algo = make_algo(drawn, axis, value)
    groups, rewards, masked = make_step(seed, group_sizes, vocabulary=12)
    branched = cut_some(groups, np.random.default_rng(seed))
    assert lengths_of(branched, masked) == lengths_of(groups, masked)
    advantages = advantages_of(algo, rewards, lengths_of(groups, masked))
    order = list(range(sum(group_sizes)))
    models: dict[str, Any] = {"policy": POLICY, "reference": REFERENCE, "old": OLD}
    expected = gradient(algo, groups, advantages, masked, order=order, **models, **ONE_MICROBATCH)
    np.random.default_rng(seed).shuffle(order)
    split: dict[str, Any] = {"num_ranks": num_ranks, "max_tokens": max_tokens, "multiple": multiple}
    found = gradient(algo, branched, advantages, masked, order=order, **models, **split)
    assert bool(expected.isfinite().all())
    assert (found - expected).norm() <= 1e-5 * expected.norm() + 1e-12


@pytest.mark.parametrize(
    "choices",
    [
        {},
        {"ratio": "sequence", "correction": "sequence_tis", "aggregation": "seq_mean"},
        {"surrogate": "weight", "correction": "geometric_mask", "aggregation": "token_mean"},
        {"surrogate": "reinforce", "aggregation": "fixed_length", "kl_placement": "reward", "advantage_std": "none"},
    ],
    ids=lambda choices: "-".join(choices.values()) or "paper",
)
def test_so_it_is_for_a_model_in_float32(choices: dict[str, str], qwen_folder: Path) -> None:
    from transformers import AutoModelForCausalLM

    def load(seed: int) -> PolicyModel:
        model = AutoModelForCausalLM.from_pretrained(qwen_folder, dtype=torch.float32)
        generator = torch.Generator().manual_seed(seed)
        for parameter in model.parameters():  # an untrained model's log-probabilities hardly differ from one another
            parameter.data.add_(0.05 * torch.randn(parameter.shape, generator=generator))
        return PolicyModel(model)

    def of(model: PolicyModel) -> Callable[[Packed], torch.Tensor]:
        return lambda packed: model(packed, 1.0)[0]

    algo = AlgoConfig(**choices, clip_low=0.2, clip_high=0.3, kl_coefficient=0.1, max_completion_tokens=8)  # type: ignore[arg-type]
    groups, rewards, masked = make_step(5, [4, 3, 4], vocabulary=250)
    branched = cut_some(groups, np.random.default_rng(5))
    advantages = advantages_of(algo, rewards, lengths_of(groups, masked))
    policy = load(0)
    models: dict[str, Any] = {
        "policy": policy,
        "forward": of(policy),
        "reference": of(load(1)),
        "old": of(load(2)),
        "order": list(range(11)),
    }
    expected = gradient(algo, groups, advantages, masked, **models, **ONE_MICROBATCH)
    for max_tokens in (10_000, 60):
        found = gradient(algo, branched, advantages, masked, **models, num_ranks=2, max_tokens=max_tokens, multiple=1)
        assert expected.norm() > 0
        assert (found - expected).norm() <= 1e-5 * expected.norm()
