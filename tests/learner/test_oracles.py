"""Presets against the outputs of other libraries' own code: TRL 1.16.0, OpenRLHF 0.11.2 and verl 0.9.1.

The outputs are one JSON file, ``oracles.json``, in the folder that R1RAY_ORACLES names. It is not part of the project;
without it these tests skip, and the golden numbers of test_presets.py pin the presets.
"""

from __future__ import annotations

import json
import os
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch

from r1ray.algo.advantage import step_advantages
from r1ray.algo.kl import kl_estimate
from r1ray.algo.loss import grpo_loss
from r1ray.commands.compose import compose
from r1ray.config import AlgoConfig
from r1ray.learner.packed import nothing
from r1ray.learner.rows import Rows, microbatch_loss
from r1ray.types import Minibatch

FOLDER = os.environ.get("R1RAY_ORACLES")
pytestmark = pytest.mark.skipif(FOLDER is None, reason="R1RAY_ORACLES names no folder with oracles.json")
SETS = pytest.mark.parametrize("which", ["normal", "extreme"])
CLOSE = 1e-6
PPO = {"policy_loss_type": "ppo", "is_correction_level": "off"}


@cache
def oracle_set(which: str) -> Any:
    return json.loads((Path(str(FOLDER)) / "oracles.json").read_text())["sets"][which]


def entry(which: str, library: str, kind: str, options: dict[str, Any]) -> Any:
    """The one entry whose options are these, and which is not on-policy and has no weights unless they say so."""
    plain = {"on_policy": None, "vllm_is": False, "bias_kl": False, "rollout_is_weights": None, "delta": None}
    found = []
    for candidate in oracle_set(which)[library][kind]:
        theirs = candidate["options"]
        needed = {key: value for key, value in plain.items() if key in theirs or key == "on_policy"} | options
        if all(theirs.get(key) == value for key, value in needed.items()):
            found.append(candidate)
    assert len(found) == 1, f"{len(found)} entries of {library} {kind} have {options}"
    return found[0]


def preset(name: str, **changes: Any) -> AlgoConfig:
    return replace(compose(["model=m", "data.train=t", f"algo={name}"]).algo, **changes)


def array(inputs: dict[str, Any], name: str) -> torch.Tensor:
    return torch.tensor(inputs[name], dtype=torch.float64)


def loss_of(inputs: dict[str, Any], algo: AlgoConfig, *, on_policy: bool = False) -> tuple[float, torch.Tensor]:
    """Loss and its gradient at [B, T] log-probabilities, as the learner takes them."""
    mask = array(inputs, "mask").bool()
    logp = array(inputs, "logp").requires_grad_()
    logp_N, lengths_B = logp[mask], mask.sum(1)
    old_N = logp_N.detach() if on_policy else array(inputs, "old_logp")[mask]
    corrects = algo.resolved_correction != "none"
    micro = Rows(
        packed=nothing(device=torch.device("cpu")),
        lengths_B=lengths_B,
        rollout_logp_N=array(inputs, "rollout_logp")[mask] if corrects else old_N,
        advantage_N=array(inputs, "advantages_in").repeat_interleave(lengths_B),
        fresh_N=torch.ones(len(logp_N), dtype=torch.bool),
        group_ids=("0/0",) * len(lengths_B),
    )
    num_sequences = len(lengths_B) if algo.count_masked else int((lengths_B > 0).sum())
    minibatch = Minibatch(microbatches=(), num_sequences=num_sequences, num_tokens=len(logp_N))
    loss, _ = microbatch_loss(
        logp_N,
        micro,
        minibatch,
        algo,
        prox_logp_N=old_N if corrects else None,
        ref_logp_N=array(inputs, "ref_logp")[mask] if algo.kl_coefficient else None,
    )
    loss.backward()
    assert logp.grad is not None
    return loss.item(), logp.grad


def assert_close(found: torch.Tensor, expected: Any, name: str) -> None:
    """To 1e-6, relative to the largest number where that is above 1 (the ratio of the extreme set is e^25)."""
    numbers = torch.tensor(expected, dtype=torch.float64)
    difference = ((found - numbers).abs().max() / max(1.0, numbers.abs().max().item())).item()
    assert difference < CLOSE, f"{name} differs by {difference}"


NO_KL = {"kl_coefficient": 0.0}
TRL = {"eps_low": 0.2, "eps_high": 0.2, "level": "token", "beta": 0.0}
VERL = {"policy_loss": "vanilla", "loss_agg_mode": "token-mean", "clip_ratio_high": 0.2, "clip_ratio_c": 3.0}
OPENRLHF = {"clip_eps_high": 0.2, "dual_clip": None, "token_level_loss": True, **PPO}
TIS = {"correction": "token_tis", "correction_cap": 2.0}
LOSSES: list[tuple[str, dict[str, Any], str, dict[str, Any]]] = [
    # preset, keys that make it the oracle's case, library, the oracle's options
    ("deepseekmath", {"count_masked": True}, "trl", {**TRL, "loss_type": "grpo", "beta": 0.04}),
    ("deepseekmath", NO_KL | {"log_ratio_clamp": 20.0}, "openrlhf", OPENRLHF | {"token_level_loss": False}),
    ("verl", NO_KL, "verl", VERL),
    ("verl", NO_KL | {"clip_high": 0.28}, "verl", VERL | {"clip_ratio_high": 0.28}),
    ("verl", NO_KL | {"aggregation": "seq_mean"}, "verl", VERL | {"loss_agg_mode": "seq-mean-token-mean"}),
    ("verl", NO_KL | {"aggregation": "seq_sum"}, "verl", VERL | {"loss_agg_mode": "seq-mean-token-sum"}),
    ("verl", NO_KL | {"dual_clip": None}, "verl", VERL | {"clip_ratio_c": 1e9}),
    ("trl", {"correction": "none"}, "trl", {**TRL, "loss_type": "dapo"}),
    ("trl", {"correction": "none", "aggregation": "seq_mean"}, "trl", {**TRL, "loss_type": "grpo"}),
    (
        "trl",
        {"correction": "none", "kl_coefficient": 0.04},
        "trl",
        {**TRL, "loss_type": "dapo", "beta": 0.04, "bias_kl": True},
    ),
    (
        "trl",
        {"correction": "none", "kl_coefficient": 0.04, "kl_weighted": False},
        "trl",
        {**TRL, "loss_type": "dapo", "beta": 0.04},
    ),
    ("trl", {"correction": "none", "dual_clip": 2.0}, "trl", {**TRL, "loss_type": "dapo", "delta": 2.0}),
    ("trl", TIS, "trl", {**TRL, "loss_type": "dapo", "vllm_is": True}),
    ("openrlhf", NO_KL, "openrlhf", OPENRLHF),
    ("openrlhf", NO_KL | {"dual_clip": 3.0}, "openrlhf", OPENRLHF | {"dual_clip": 3.0}),
    ("openrlhf", NO_KL | {"aggregation": "seq_mean"}, "openrlhf", OPENRLHF | {"token_level_loss": False}),
    (
        "openrlhf",
        NO_KL | TIS,
        "openrlhf",
        OPENRLHF | {"is_correction_level": "token", "is_correction_mode": "clip"},
    ),
    (
        "openrlhf",
        NO_KL | {"correction": "token_mask", "correction_floor": 0.8, "correction_cap": 1.2},
        "openrlhf",
        OPENRLHF | {"is_correction_level": "token", "is_correction_mode": "mask"},
    ),
    (
        "openrlhf",
        NO_KL | {"correction": "geometric_mask", "correction_floor": 0.9, "correction_cap": 1.1},
        "openrlhf",
        OPENRLHF | {"is_correction_level": "seq", "is_correction_mode": "mask", "is_correction_threshold": [0.9, 1.1]},
    ),
    ("nemo", NO_KL, "trl", {**TRL, "loss_type": "bnpo"}),  # in one micro-batch, NeMo-RL's loss of one global batch
    ("dapo", {}, "trl", {**TRL, "loss_type": "dapo", "eps_high": 0.28}),
    ("dapo", {"log_ratio_clamp": 20.0}, "openrlhf", OPENRLHF | {"clip_eps_high": 0.28}),
    ("dr_grpo", {"max_completion_tokens": 6}, "trl", {**TRL, "loss_type": "dr_grpo"}),
    (
        "dr_grpo",
        {"max_completion_tokens": 6, "count_masked": False, "log_ratio_clamp": 20.0, "dual_clip": 3.0},
        "verl",
        VERL | {"loss_agg_mode": "seq-mean-token-sum-norm"},
    ),
    ("gspo", {"clip_low": 0.2, "clip_high": 0.2}, "openrlhf", OPENRLHF | {"policy_loss_type": "gspo"}),
    (
        "gspo",
        {"clip_low": 0.2, "clip_high": 0.2},
        "verl",
        VERL | {"policy_loss": "gspo", "loss_agg_mode": "seq-mean-token-mean"},
    ),
    (
        "gspo",
        {"clip_low": 0.2, "clip_high": 0.2, "count_masked": True},
        "trl",
        {**TRL, "loss_type": "grpo", "level": "sequence"},
    ),
    (
        "cispo",
        {"clip_low": 0.2, "clip_high": 0.2, "log_ratio_clamp": 20.0},
        "verl",
        VERL | {"policy_loss": "cispo"},
    ),
    ("rloo", NO_KL | {"aggregation": "token_mean"}, "verl", VERL | {"policy_loss": "gpg"}),
    ("reinforce_pp", NO_KL, "openrlhf", OPENRLHF),
]


@SETS
@pytest.mark.parametrize(("name", "changes", "library", "options"), LOSSES)
def test_loss_and_gradient(
    which: str, name: str, changes: dict[str, Any], library: str, options: dict[str, Any]
) -> None:
    oracle = entry(which, library, "policy_loss", options)
    loss, gradient = loss_of(oracle_set(which)["inputs"], preset(name, **changes))
    assert_close(torch.tensor(loss), oracle["loss"], "the loss")
    assert_close(gradient, oracle["grad_logp"], "the gradient")


@SETS
def test_the_papers_clip_of_10_is_no_clip_on_policy(which: str) -> None:
    options = {**TRL, "loss_type": "grpo", "beta": 0.04, "on_policy": True}
    oracle = entry(which, "trl", "policy_loss", options)
    algo = preset("paper", kl_coefficient=0.04, count_masked=True)
    loss, gradient = loss_of(oracle_set(which)["inputs"], algo, on_policy=True)
    assert_close(torch.tensor(loss), oracle["loss"], "the loss")
    assert_close(gradient, oracle["grad_logp"], "the gradient")


@SETS
@pytest.mark.parametrize("eps_high", [0.2, 0.28])
def test_cispo_with_trls_bound_which_is_the_ratio_itself(which: str, eps_high: float) -> None:
    """A bound below 1 is refused by the configuration, not by the function."""
    inputs = oracle_set(which)["inputs"]
    oracle = entry(which, "trl", "policy_loss", {**TRL, "loss_type": "cispo", "eps_high": eps_high})
    mask = array(inputs, "mask").bool()
    logp, lengths_B = array(inputs, "logp").requires_grad_(), mask.sum(1)
    loss, _ = grpo_loss(
        logp[mask],
        array(inputs, "old_logp")[mask],
        None,
        array(inputs, "advantages_in").repeat_interleave(lengths_B),
        torch.full((int(mask.sum()),), 1 / int(mask.sum()), dtype=torch.float64),
        lengths_B,
        surrogate="weight",
        clip_low=10.0,
        clip_high=eps_high - 1.0,
        kl_coefficient=0.0,
    )
    loss.backward()
    assert_close(loss.detach(), oracle["loss"], "the loss")
    assert logp.grad is not None
    assert_close(logp.grad, oracle["grad_logp"], "the gradient")


@SETS
@pytest.mark.parametrize(
    ("library", "estimator", "clamp"),
    [
        *(("verl", name, None) for name in ("k1", "abs", "k2")),
        ("verl", "k3", 10.0),
        *(("openrlhf", name, 10.0) for name in ("k1", "k2", "k3")),
    ],
)
def test_estimators_of_the_kl(which: str, library: str, estimator: str, clamp: float | None) -> None:
    inputs = oracle_set(which)["inputs"]
    options = {"estimator": estimator} | ({"unbiased_gradient": False} if library == "openrlhf" else {})
    oracle = entry(which, library, "kl", options)
    logp, mask = array(inputs, "logp").requires_grad_(), array(inputs, "mask")
    kl = kl_estimate(logp, array(inputs, "ref_logp"), estimator=estimator, clamp=clamp)
    mean = (kl * mask).sum() / mask.sum()
    mean.backward()
    assert_close((kl * mask).detach(), (torch.tensor(oracle["kl"]) * mask).tolist(), "the KL")
    assert_close(mean.detach(), oracle["mean"], "its mean")
    assert logp.grad is not None
    assert_close(logp.grad, oracle["grad_logp"], "its gradient")


WHITENED_BY_VERL = {"advantage_std": "token_sample", "advantage_epsilon_in": "variance"}
ADVANTAGES: list[tuple[str, dict[str, Any], str, str]] = [
    ("paper", {}, "verl", "grpo"),
    ("deepseekmath", {}, "verl", "grpo"),
    ("verl", {}, "verl", "grpo"),
    ("dapo", {}, "verl", "grpo"),
    ("gspo", {}, "verl", "grpo"),
    ("cispo", {}, "verl", "grpo"),
    ("openrlhf", {}, "openrlhf", "group_norm"),
    ("trl", {}, "trl", "group"),
    ("trl", {"advantage_std": "batch"}, "trl", "batch"),
    ("trl", {"advantage_std": "none"}, "trl", "none"),
    ("dr_grpo", {}, "verl", "dr_grpo"),
    ("dr_grpo", {}, "openrlhf", "dr_grpo"),
    ("rloo", {}, "verl", "rloo"),
    ("rloo", {}, "openrlhf", "rloo"),
    ("reinforce_pp", {}, "openrlhf", "reinforce_baseline"),
    ("reinforce_pp", WHITENED_BY_VERL, "verl", "reinforce_pp_baseline"),
    ("dr_grpo", {"advantage_baseline": "batch"}, "openrlhf", "flash_reinforce"),
]


@SETS
@pytest.mark.parametrize(("name", "changes", "library", "estimator"), ADVANTAGES)
def test_advantages(which: str, name: str, changes: dict[str, Any], library: str, estimator: str) -> None:
    inputs, size = oracle_set(which)["inputs"], oracle_set(which)["inputs"]["G"]
    options: dict[str, Any] = {"estimator": estimator}
    if library == "trl":
        options = {"scale_rewards": estimator, "rewards": ["rewards"]}
    oracle = entry(which, library, "advantages", options)
    lengths = [sum(row) for row in inputs["mask"]]
    algo = preset(name, **changes)
    starts = range(0, len(lengths), size)
    found = step_advantages(
        [inputs["rewards"][start : start + size] for start in starts],
        [lengths[start : start + size] for start in starts],
        baseline=algo.advantage_baseline,
        std=algo.advantage_std,
        epsilon=algo.advantage_epsilon,
        epsilon_in=algo.advantage_epsilon_in,
    )
    numbers = torch.tensor([float(a or 0) for group in found for a in group], dtype=torch.float64)
    if library == "trl":
        assert_close(numbers, oracle["advantages"], "the advantages")
    else:
        mask = array(inputs, "mask")
        expected = torch.tensor(oracle["advantages_per_token"], dtype=torch.float64) * mask
        assert_close(numbers[:, None] * mask, expected.tolist(), "the advantages")
