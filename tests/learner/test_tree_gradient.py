"""In float32 a tree has the gradient of separate rows: to 1e-5, and about as near as sequences end to end have it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import cache
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import torch

from r1ray.config.algo import RATIOS, SURROGATES
from r1ray.learner import attention, tree
from r1ray.learner.decoder import recompute_layers
from r1ray.learner.packed import Packed
from r1ray.learner.policy import PolicyModel
from r1ray.rollout.engine import one_segment
from r1ray.types import Trajectory, VersionSpan
from tests.learner.families import make
from tests.learner.gradients import ONE_MICROBATCH, advantages_of, gradient, lengths_of
from tests.learner.test_branches import EACH, cut, in_turns, make_algo
from tests.learner.test_rows import rows_of

DRAWN = {
    "surrogate": "clip",
    "ratio": "token",
    "aggregation": "seq_mean",
    "advantage_baseline": "group",
    "advantage_std": "none",
    "correction": "token_tis",
    "kl_placement": "loss",
    "kl_estimator": "k3",
}
VOCABULARY, PROMPT = 64, 12


@pytest.fixture(autouse=True)
def everything_is_shared(monkeypatch: pytest.MonkeyPatch) -> None:
    """Small sequences save too little otherwise."""
    monkeypatch.setattr(tree, "is_worth_sharing", lambda saved, rest: True)


def completion(group: int, index: int, prompt: list[int], tokens: list[int]) -> Trajectory:
    rng = np.random.default_rng(index)
    return one_segment(
        group_id=f"0/{group}",
        index=index,
        prompt_token_ids=np.array(prompt, dtype=np.int32),
        token_ids=np.array(tokens, dtype=np.int32),
        logprobs=rng.normal(-np.log(VOCABULARY), 0.3, len(tokens)).astype(np.float32),
        versions=(VersionSpan(0, 0, len(tokens)),),
    )


def groups() -> list[list[Trajectory]]:
    """Identical outputs, one that another begins with, turns, branches, and a prompt that parts."""
    rng = np.random.default_rng(0)
    made = []
    for number in range(2):
        prompt, output = rng.integers(3, VOCABULARY, PROMPT).tolist(), rng.integers(3, VOCABULARY, 9).tolist()
        other = [*prompt[: PROMPT // 2], *rng.integers(3, VOCABULARY, 5).tolist()]
        outputs = [output, output, output[:4], rng.integers(3, VOCABULARY, 7).tolist(), [output[0], 7, 8, 9]]
        group = [completion(number, index, prompt, each) for index, each in enumerate(outputs)]
        turns = in_turns(completion(number, 5, prompt, output[::-1]), rng, vocabulary=VOCABULARY)
        branches = cut(in_turns(completion(number, 6, prompt, output), rng, vocabulary=VOCABULARY), 4)
        made.append([*group, turns, branches, completion(number, 7, other, output)])
    return made


@cache
def policy(family: str, checkpointing: bool = False) -> PolicyModel:
    model = make(family)
    if checkpointing:
        recompute_layers(model)
    return PolicyModel(model.requires_grad_(True))


def one_by_one(policy: PolicyModel) -> Callable[[Packed], torch.Tensor]:
    """log p of the chosen tokens, each sequence by itself, from all logits of the model's own attention."""

    def compute(packed: Packed) -> torch.Tensor:
        tables = [
            policy.decoder.own_logits(packed.input_ids_N[None, start:end])[0]
            for start, end in pairwise(packed.layout.starts.tolist())
        ]
        table = torch.log_softmax(torch.cat(tables).float() / 0.9, dim=-1)[packed.predictor_C]
        return table.gather(1, packed.target_C[:, None])[:, 0]

    return compute


def differences(algo: Any, family: str = "llama", *, checkpointing: bool = False) -> tuple[float, float]:
    """Relative differences of the gradients of flat rows, and of trees, from that of separate rows."""
    plain, trained, batch = policy(family), policy(family, checkpointing), groups()
    masked = [[False] * len(group) for group in batch]
    rewards: list[list[float | None]] = [[float(i % 3) for i in range(len(group))] for group in batch]
    advantages = advantages_of(algo, rewards, lengths_of(batch, masked))

    def together(packed: Packed) -> torch.Tensor:
        logp, _ = trained(packed, 0.9)
        return logp

    def of(trained: PolicyModel, forward: Callable[[Packed], torch.Tensor], *, as_tree: bool) -> torch.Tensor:
        return gradient(
            algo,
            batch,
            advantages,
            masked,
            policy=trained,
            reference=lambda packed: forward(packed).detach() - 0.1,
            forward=forward,
            order=list(range(sum(map(len, batch)))),
            as_tree=as_tree,
            **ONE_MICROBATCH,  # type: ignore[arg-type]
        ).clone()

    separate = of(plain, one_by_one(plain), as_tree=False)
    assert separate.norm() > 0
    flat, found = of(trained, together, as_tree=False), of(trained, together, as_tree=True)
    return tuple(float((each - separate).norm() / separate.norm()) for each in (flat, found))  # type: ignore[return-value]


def check(differences: tuple[float, float]) -> None:
    flat, found = differences
    assert found < 1e-5 and found <= 2 * flat + 5e-7, (flat, found)


@pytest.mark.parametrize("surrogate", SURROGATES)
def test_the_gradient_of_every_surrogate_is_that_of_separate_rows(surrogate: str) -> None:
    check(differences(make_algo(DRAWN, "surrogate", surrogate)))


@pytest.mark.parametrize("ratio", RATIOS)
@pytest.mark.parametrize("family", ["qwen3", "gemma2"])
def test_the_gradient_of_other_models_and_ratios_is_too(family: str, ratio: str) -> None:
    check(differences(make_algo(DRAWN, "ratio", ratio), family))


def test_layers_may_be_computed_again_in_the_backward_pass() -> None:
    check(differences(make_algo(DRAWN, "surrogate", "clip"), checkpointing=True))


def test_gathered_keys_have_the_gradient_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attention, "can_merge", lambda *_: False)
    check(differences(make_algo(DRAWN, "surrogate", "clip")))


@pytest.mark.long
@pytest.mark.parametrize(("axis", "value"), EACH)
@pytest.mark.parametrize("family", ["llama", "gpt_oss"])
def test_every_objective_has_the_gradient_of_separate_rows(family: str, axis: str, value: str) -> None:
    check(differences(make_algo(DRAWN, axis, value), family))


def test_a_tree_shares_what_the_groups_have_in_common() -> None:
    """Else the comparisons above show nothing."""
    everything = [each for group in groups() for each in group]
    rows = rows_of(*everything, as_tree=True)
    assert rows.num_tokens < 0.55 * sum(each.num_row_tokens for each in everything)
    assert len({replace(node, start=0) for node in rows.packed.layout.inner}) >= 8
