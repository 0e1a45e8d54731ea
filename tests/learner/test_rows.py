"""Trajectories as rows: what is chosen, what a term of the loss weighs, and that one turn is what it always was."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from r1ray.config import AlgoConfig
from r1ray.config.algo import AGGREGATIONS
from r1ray.learner.packed import pack_sequences
from r1ray.learner.rows import Rows, make_rows, microbatch_loss
from r1ray.rollout.engine import one_segment
from r1ray.types import Minibatch, SampleRef, Segment, Trajectory, VersionSpan
from tests.fakes import make_trajectory
from tests.learner.lending import by_id

CPU = torch.device("cpu")


def rows_of(*trajectories: Trajectory, advantages: list[float] | None = None, version: int = 0, **options: Any) -> Rows:
    numbers = advantages or [1.0] * len(trajectories)
    samples = [SampleRef(t.id, a, t.num_row_tokens) for t, a in zip(trajectories, numbers, strict=True)]
    return make_rows(samples, by_id(trajectories), learner_version=version, device=CPU, **options)


def context(*tokens: int, branch: int = 0) -> Segment:
    ids = np.array(tokens, dtype=np.int32)
    return Segment(kind="context", token_ids=ids, logprobs=np.zeros(0, np.float32), role="tool", branch=branch)


def policy(*tokens: int, branch: int = 0, version: int = 0) -> Segment:
    return Segment(
        kind="policy",
        token_ids=np.array(tokens, dtype=np.int32),
        logprobs=-0.1 * np.array(tokens, dtype=np.float32),
        versions=(VersionSpan(version, 0, len(tokens)),),
        branch=branch,
    )


def in_turns(*segments: Segment, index: int = 0) -> Trajectory:
    prompt = np.array([1, 2], dtype=np.int32)
    return Trajectory(group_id="0/0", index=index, prompt_token_ids=prompt, segments=segments, status="finished")


def test_prompts_and_completions_lie_end_to_end() -> None:
    one, other = make_trajectory(index=2, num_tokens=1), make_trajectory(index=0, num_tokens=2)
    rows = rows_of(one, other, advantages=[-0.5, 1.5])
    assert rows.packed.input_ids_N.tolist() == [1, 2, 5, 1, 2, 5, 6]
    assert rows.packed.position_ids_N.tolist() == [0, 1, 2, 0, 1, 2, 3]
    assert rows.packed.predictor_C.tolist() == [1, 4, 5]
    assert rows.packed.target_C.tolist() == [5, 5, 6]
    assert rows.lengths_B.tolist() == [1, 2]
    assert rows.advantage_N.tolist() == [-0.5, 1.5, 1.5]
    assert rows.num_tokens == 7


def test_a_row_of_several_turns_chooses_what_was_sampled() -> None:
    rows = rows_of(in_turns(policy(5, 6), context(7, 8, 9), policy(10)))
    assert rows.packed.input_ids_N.tolist() == [1, 2, 5, 6, 7, 8, 9, 10]
    assert rows.packed.target_C.tolist() == [5, 6, 10]
    assert rows.rollout_logp_N.tolist() == pytest.approx([-0.5, -0.6, -1.0])
    assert rows.lengths_B.tolist() == [3]


def test_branches_are_sequences_of_their_own_and_one_trajectory_to_the_loss() -> None:
    """The second turn's history was rewritten: token 6 is gone."""
    branched = in_turns(policy(5, 6), context(5, branch=1), policy(10, 11, branch=1))
    rows = rows_of(branched, in_turns(policy(12), index=1), advantages=[2.0, -1.0])
    assert rows.packed.input_ids_N.tolist() == [1, 2, 5, 6, 1, 2, 5, 10, 11, 1, 2, 12]
    assert rows.packed.position_ids_N.tolist() == [0, 1, 2, 3, 0, 1, 2, 3, 4, 0, 1, 2]
    assert rows.packed.target_C.tolist() == [5, 6, 10, 11, 12]
    assert rows.lengths_B.tolist() == [4, 1]
    assert rows.advantage_N.tolist() == [2.0] * 4 + [-1.0]
    assert rows.num_tokens == branched.num_row_tokens + 3
    assert rows.group_ids == ("0/0", "0/0")


def test_a_token_has_the_advantage_of_its_turn_in_whatever_branch() -> None:
    branched = in_turns(policy(5, 6), context(7), policy(8), context(5, branch=1), policy(10, 11, branch=1))
    samples = [
        SampleRef(branched.id, 9.0, branched.num_row_tokens, (1.0, 2.0, 3.0)),
        SampleRef("0/0#1", -1.0, 3),
    ]
    one_turn = in_turns(policy(12), index=1)
    rows = make_rows(samples, by_id([branched, one_turn]), learner_version=0, device=CPU)
    assert rows.advantage_N.tolist() == [1.0, 1.0, 2.0, 3.0, 3.0, -1.0]


def test_a_tree_has_the_numbers_of_the_loss_in_the_order_of_trajectories() -> None:
    """And its values too, by the places where each chosen token is predicted."""
    outputs = ((5, 6, 7), (5, 6, 8, 9), (4,), (5, 6, 7))
    given = context(*range(20, 40))
    trajectories = [in_turns(given, policy(*tokens), index=index) for index, tokens in enumerate(outputs)]
    flat, tree = (rows_of(*trajectories, advantages=[0.0, 1.0, 2.0, 3.0], as_tree=as_tree) for as_tree in (False, True))
    assert (flat.num_tokens, tree.num_tokens) == (4 * 22 + 11, 22 + 8)
    for name in ("lengths_B", "rollout_logp_N", "advantage_N", "fresh_N"):
        assert torch.equal(getattr(flat, name), getattr(tree, name)), name
    assert tree.packed.target_C.tolist() == [token for tokens in outputs for token in tokens]
    predictors = [rows.packed.input_ids_N[rows.packed.predictor_C] for rows in (flat, tree)]
    assert torch.equal(*predictors)


def test_a_tree_shares_what_is_not_worth_it_before_it_exceeds_the_limit() -> None:
    trajectories = [make_trajectory(index=0, num_tokens=4), make_trajectory(index=1, num_tokens=3)]
    found = [rows_of(*trajectories, as_tree=True, max_tokens=limit).num_tokens for limit in (None, 11, 10)]
    assert found == [11, 11, 6]


def test_where_the_engine_chose_experts_nothing_is_shared() -> None:
    turns = [in_turns(with_experts(policy(5, 6), 10, 11, 12), index=index) for index in range(9)]
    rows = rows_of(*turns, as_tree=True)
    assert rows.num_tokens == 9 * 4 and rows.packed.choices_NLK is not None


def test_only_tokens_of_the_learners_own_version_are_fresh() -> None:
    trajectory = make_trajectory(num_tokens=4)
    (segment,) = trajectory.segments
    spans = (VersionSpan(2, 0, 3), VersionSpan(3, 3, 4))
    trajectory = replace(trajectory, segments=(replace(segment, versions=spans),))
    assert rows_of(trajectory, version=3).fresh_N.tolist() == [False, False, False, True]
    assert (trajectory.oldest_version, trajectory.newest_version) == (2, 3)


def test_versions_are_of_each_segment() -> None:
    trajectory = in_turns(policy(5, 6, version=2), context(7), policy(10, version=3))
    assert rows_of(trajectory, version=3).fresh_N.tolist() == [False, False, True]


def test_no_samples_make_one_row_that_can_be_computed_and_weighs_nothing() -> None:
    rows = make_rows([], {}, learner_version=0, device=CPU)
    assert rows.is_empty
    assert len(rows.packed.target_C) == len(rows.rollout_logp_N) == 1


# ------------------------------------------------------------------ context

tokens = st.lists(st.integers(3, 50), max_size=6)
turns = st.lists(st.tuples(st.lists(st.integers(3, 50), min_size=1, max_size=5), tokens), min_size=1, max_size=4)


def alternating(index: int, given_turns: list[tuple[list[int], list[int]]], *, with_context: bool = True) -> Trajectory:
    """Each turn of the policy with what it was told then."""
    segments = [
        segment
        for sampled, told in given_turns
        for segment in (policy(*sampled), *([context(*told)] if with_context else []))
    ]
    return in_turns(*segments, index=index)


def terms(rows: Rows, algo: AlgoConfig, minibatch: Minibatch) -> tuple[torch.Tensor, torch.Tensor]:
    """The loss at one and the same log-probability of each kind of token, and its gradient with respect to those of
    every token of the rows, context and prompts too."""
    everything = -0.05 * rows.packed.input_ids_N.double() - 0.3
    everything.requires_grad_()
    chosen = everything[rows.packed.predictor_C + 1]
    loss, _ = microbatch_loss(
        chosen, rows, minibatch, algo, prox_logp_N=chosen.detach() + 0.1, ref_logp_N=chosen.detach() - 0.2
    )
    (found,) = torch.autograd.grad(loss, everything)
    return loss.detach(), found


@pytest.mark.parametrize("aggregation", AGGREGATIONS)
@pytest.mark.parametrize("ratio", ["token", "sequence"])
@given(st.lists(turns, min_size=1, max_size=4))
def test_context_has_no_gradient_and_no_share_in_a_denominator(
    ratio: str, aggregation: str, batch: list[list[tuple[list[int], list[int]]]]
) -> None:
    algo = AlgoConfig(aggregation=aggregation, ratio=ratio, correction="sequence_tis", max_completion_tokens=20)
    told = [alternating(index, each) for index, each in enumerate(batch)]
    untold = [alternating(index, each, with_context=False) for index, each in enumerate(batch)]
    minibatch = Minibatch(
        microbatches=(), num_sequences=len(batch), num_tokens=sum(each.num_policy_tokens for each in told)
    )
    rows, bare = rows_of(*told), rows_of(*untold)
    loss, found = terms(rows, algo, minibatch)
    expected_loss, expected = terms(bare, algo, minibatch)
    assert torch.equal(loss, expected_loss), "to the last bit, whatever the context and its length"
    chosen, expected_chosen = rows.packed.predictor_C + 1, bare.packed.predictor_C + 1
    assert torch.equal(found[chosen], expected[expected_chosen])
    assert not found.index_fill(0, chosen, 0).any()
    assert rows.num_tokens - bare.num_tokens == sum(each.num_context_tokens for each in told)


# ------------------------------------------------------------------ one turn


@dataclass(frozen=True)
class Completion:
    """A prompt and what was sampled after it, once."""

    prompt_token_ids: np.ndarray
    token_ids: np.ndarray
    logprobs: np.ndarray
    versions: tuple[VersionSpan, ...]


def rows_of_completions(completions: list[Completion], advantages: list[float], *, version: int, multiple: int) -> Rows:
    """The rows of single completions, written out without segments."""
    sequences, fresh = [], []
    for completion in completions:
        start, length = len(completion.prompt_token_ids), len(completion.token_ids)
        ids = torch.from_numpy(np.concatenate([completion.prompt_token_ids, completion.token_ids]).astype("int64"))
        sequences.append((ids, torch.arange(len(ids)) >= start))
        is_fresh = torch.zeros(length, dtype=torch.bool)
        for span in completion.versions:
            is_fresh[span.start : span.end] = span.version == version
        fresh.append(is_fresh)
    lengths = torch.tensor([len(c.token_ids) for c in completions])
    return Rows(
        packed=pack_sequences(sequences, device=CPU, multiple=multiple),
        lengths_B=lengths,
        rollout_logp_N=torch.cat([torch.from_numpy(c.logprobs.copy()) for c in completions]),
        advantage_N=torch.tensor(advantages, dtype=torch.float32).repeat_interleave(lengths),
        fresh_N=torch.cat(fresh),
        group_ids=("0/0",) * len(completions),
    )


@given(
    seed=st.integers(0, 10**6),
    lengths=st.lists(st.tuples(st.integers(1, 6), st.integers(1, 12)), min_size=1, max_size=8),
    multiple=st.integers(1, 8),
)
def test_a_trajectory_of_one_segment_is_the_row_of_a_completion_bit_for_bit(
    seed: int, lengths: list[tuple[int, int]], multiple: int
) -> None:
    rng = np.random.default_rng(seed)
    completions = []
    for prompt, length in lengths:
        cut = int(rng.integers(0, length + 1))
        completions.append(
            Completion(
                prompt_token_ids=rng.integers(0, 99, prompt).astype(np.int32),
                token_ids=rng.integers(0, 99, length).astype(np.int32),
                logprobs=rng.normal(-3, 1, length).astype(np.float32),
                versions=(VersionSpan(4, 0, cut), VersionSpan(5, cut, length)),
            )
        )
    advantages = rng.normal(size=len(lengths)).tolist()
    trajectories = {
        f"0/0#{index}": one_segment(
            group_id="0/0",
            index=index,
            prompt_token_ids=each.prompt_token_ids,
            token_ids=each.token_ids,
            logprobs=each.logprobs,
            versions=each.versions,
        )
        for index, each in enumerate(completions)
    }
    samples = [SampleRef(name, a, 0) for name, a in zip(trajectories, advantages, strict=True)]
    found = make_rows(samples, trajectories, learner_version=5, device=CPU, multiple=multiple)
    expected = rows_of_completions(completions, advantages, version=5, multiple=multiple)
    for name in ("lengths_B", "rollout_logp_N", "advantage_N", "fresh_N"):
        assert torch.equal(getattr(found, name), getattr(expected, name)), name
        assert getattr(found, name).dtype == getattr(expected, name).dtype, name
    for name in ("input_ids_N", "position_ids_N", "predictor_C", "target_C"):
        assert torch.equal(getattr(found.packed, name), getattr(expected.packed, name)), name
    assert torch.equal(found.packed.layout.starts, expected.packed.layout.starts)
    assert (found.num_tokens, found.group_ids) == (expected.num_tokens, expected.group_ids)


def with_experts(segment: Segment, *rows: int) -> Segment:
    """The segment with an expert for each of the first tokens of its branch, of one layer."""
    return replace(segment, experts=np.array(rows, dtype=np.uint8).reshape(-1, 1, 1))


def test_experts_that_the_engine_chose_lie_beside_their_tokens() -> None:
    """A token that was read in two turns has the experts of the first; the last token of a row was never read."""
    turns = in_turns(
        with_experts(policy(5, 6), 10, 11, 12), context(7), with_experts(policy(8, 9), *range(20, 26)), index=1
    )
    rows = rows_of(in_turns(policy(5)), turns)
    assert rows.packed.choices_NLK is not None
    assert rows.packed.choices_NLK[:, 0, 0].tolist() == [-1, -1, -1, 10, 11, 12, 23, 24, 25, -1]


def test_without_experts_of_the_engine_routers_choose() -> None:
    assert rows_of(in_turns(policy(5))).packed.choices_NLK is None
