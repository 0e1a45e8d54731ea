"""Objectives that are fit for tokens of an older policy, and those that are refused."""

from __future__ import annotations

from typing import Any

import pytest

from r1ray.commands.compose import compose
from r1ray.config import AlgoConfig
from r1ray.errors import UserError

CLIP: dict[str, Any] = {"max_staleness": 1, "clip_low": 0.2, "clip_high": 0.2}
ENGINE: dict[str, Any] = CLIP | {"old_logprobs": "engine"}


@pytest.mark.parametrize(
    "choices",
    [
        CLIP,  # auto: weights of at most 2
        CLIP | {"correction": "sequence_mask", "correction_cap": 3.0},
        ENGINE | {"dual_clip": 3.0},
        ENGINE | {"surrogate": "weight", "clip_high": 4.0},
        CLIP | {"surrogate": "reinforce"},
        CLIP | {"surrogate": "my.losses:f"},
    ],
)
def test_an_objective_that_bounds_old_tokens_is_taken(choices: dict[str, Any]) -> None:
    AlgoConfig(**choices)


@pytest.mark.parametrize(
    ("choices", "named", "needed"),
    [
        ({"max_staleness": 4}, "algo.clip_high=10", "algo.clip_high of at most 9"),
        (CLIP | {"clip_high": 1e6, "surrogate": "weight"}, "algo.clip_high=1e[+]06", "algo.clip_high of at most 9"),
        (ENGINE, "algo.dual_clip=null without a correction", "algo.dual_clip=3"),
        (ENGINE | {"dual_clip": 1e9}, "algo.dual_clip=1e[+]09 without a correction", "algo.dual_clip=3"),
        (ENGINE | {"surrogate": "reinforce"}, "algo.surrogate=reinforce without", "algo.correction=token_tis"),
        (ENGINE | {"surrogate": "my.losses:f"}, "algo.surrogate=my.losses:f without", "algo.correction=token_tis"),
        (CLIP | {"correction_cap": 1e6}, "algo.correction_cap=1e[+]06", "algo.correction_cap of at most 10"),
        (CLIP | {"correction": "geometric_mask"}, "algo.correction=geometric_mask", "algo.correction=token_tis"),
    ],
)
def test_one_that_does_not_is_refused_unless_a_key_allows_it(choices: dict[str, Any], named: str, needed: str) -> None:
    with pytest.raises(ValueError, match=f"algo.max_staleness=.: {named}.* needs algo=async, {needed}, or"):
        AlgoConfig(**choices)
    AlgoConfig(**choices, allow_unbounded_staleness=True)
    AlgoConfig(**choices | {"max_staleness": 0})


SAFE = {"deepseekmath", "trl", "nemo", "dapo", "dr_grpo", "gspo", "cispo", "rloo", "async"}
UNWEIGHTED = {"verl", "openrlhf", "reinforce_pp"}


@pytest.mark.parametrize("preset", sorted(SAFE | UNWEIGHTED | {"paper"}))
def test_a_preset_that_leaves_old_tokens_unbounded_needs_a_key(preset: str) -> None:
    given = ["model=m", "data.train=t", f"algo={preset}", "algo.max_staleness=4"]
    if preset in SAFE:
        assert compose(given).algo.max_staleness == 4
        return
    key = "algo.allow_unweighted_staleness" if preset in UNWEIGHTED else "algo.allow_unbounded_staleness"
    with pytest.raises(UserError, match=f"algo=async.*{key}=true"):
        compose(given)
    assert compose([*given, f"{key}=true"]).algo.max_staleness == 4


def test_async_takes_turns_on_shared_devices_where_it_does_not_run_ahead() -> None:
    asked = ["model=m", "data.train=t", "algo=async", "placement=colocated"]
    with pytest.raises(UserError, match=r"needs algo\.max_staleness=0 \(algo=async sets 1\), or placement=separate"):
        compose(asked)
    assert compose([*asked, "algo.max_staleness=0"]).is_colocated


def test_async_generates_ahead_by_itself() -> None:
    algo = compose(["model=m", "data.train=t", "algo=async"]).algo
    assert (algo.max_staleness, algo.is_old_recomputed, algo.resolved_correction) == (1, True, "token_tis")
    assert (algo.correction_cap, algo.dual_clip) == (2.0, 3.0)


@pytest.mark.parametrize(
    ("overrides", "correction"),
    [
        ((), "token_tis"),
        (("algo.correction=none",), "none"),
        (("algo.old_logprobs=engine",), "none"),
        (("rollout.quantization=null",), "none"),
    ],
)
def test_what_8_bit_engines_sample_is_corrected_by_default(overrides: tuple[str, ...], correction: str) -> None:
    config = compose(["model=m", "data.train=t", "reward.parts={accuracy: {}}", "rollout.quantization=fp8", *overrides])
    assert config.algo.resolved_correction == correction
    assert config.algo.is_old_recomputed == (correction != "none")
