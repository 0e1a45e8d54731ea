"""GRPO's numbers: what cannot work is refused with the value found, the value needed and the key."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import pytest

from r1ray.config import AlgoConfig, TeacherConfig


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: AlgoConfig(group_size=1), "algo.group_size=1: needs at least 2"),
        (lambda: AlgoConfig(minibatches_per_step=7), "algo.minibatches_per_step=7 does not divide the 512 .* is 4"),
        (lambda: AlgoConfig(aggregation="mean"), "algo.aggregation=mean: needs one of seq_mean, token_mean"),
        (lambda: AlgoConfig(advantage_std="x"), "algo.advantage_std=x"),
        (lambda: AlgoConfig(correction="x"), "algo.correction=x"),
        (lambda: AlgoConfig(old_logprobs="x"), "algo.old_logprobs=x: needs one of auto, engine, learner"),
        (
            lambda: AlgoConfig(old_logprobs="engine", correction="token_tis"),
            "algo.correction=token_tis: .* needs algo.old_logprobs=learner, or algo.correction=none",
        ),
        (
            lambda: AlgoConfig(max_staleness=1, old_logprobs="learner", correction="none"),
            "algo.max_staleness=1: .* needs algo.correction=auto, .* algo=async, .*allow_unweighted_staleness=true",
        ),
        (
            lambda: AlgoConfig(max_staleness=1),
            "algo.max_staleness=1: algo.clip_high=10 does not bound .* needs algo=async, algo.clip_high of at most 9, "
            ".* algo.allow_unbounded_staleness=true",
        ),
        (lambda: AlgoConfig(entropy_coefficient=-1), "algo.entropy_coefficient=-1"),
        (lambda: AlgoConfig(overlong_share=1.5), "algo.overlong_share=1.5: needs 0 to 1"),
        (
            lambda: AlgoConfig(kl_placement="reward", advantage_std="none", advantage_baseline="m:f"),
            "algo.advantage_baseline=m:f: .* needs algo.kl_placement=loss",
        ),
        (
            lambda: AlgoConfig(kl_placement="reward", advantage_std="none", kl_weighted=True),
            "algo.kl_weighted=true: .* needs algo.kl_weighted=false",
        ),
        (
            lambda: AlgoConfig(group_size=1, teacher=TeacherConfig("t", beside_rewards=True)),
            "algo.group_size=1: needs at least 2",
        ),
        (lambda: AlgoConfig(group_size=0, teacher=TeacherConfig("t")), "algo.group_size=0: needs .* 1 is enough"),
        (
            lambda: AlgoConfig(ratio="sequence", teacher=TeacherConfig("t")),
            "algo.ratio=sequence: .* needs algo.ratio=to",
        ),
        (
            lambda: AlgoConfig(credit="turn", teacher=TeacherConfig("t")),
            "algo.credit=turn: .* needs algo.credit=trajectory, or algo.teacher.beside_rewards=true",
        ),
        (lambda: TeacherConfig(domains={"math": ""}), "algo.teacher.domains=.*needs a model for each domain"),
        (lambda: AlgoConfig(temperature=0), "algo.temperature=0: needs 0.01 to 2"),
        (lambda: AlgoConfig(max_staleness=-1), "algo.max_staleness=-1: needs at least 0"),
        (lambda: AlgoConfig(kl_coefficient=-1), "algo.kl_coefficient=-1"),
        (lambda: AlgoConfig(surrogate="x"), "algo.surrogate=x: needs one of clip, weight, reinforce"),
        (lambda: AlgoConfig(ratio="x"), "algo.ratio=x: needs one of token, sequence"),
        (lambda: AlgoConfig(kl_estimator="k4"), "algo.kl_estimator=k4: needs one of k1, abs, k2, k3"),
        (lambda: AlgoConfig(kl_placement="x"), "algo.kl_placement=x: needs one of loss, reward"),
        (lambda: AlgoConfig(kl_clamp=0), "algo.kl_clamp=0: needs to be above 0"),
        (lambda: AlgoConfig(log_ratio_clamp=-1), "algo.log_ratio_clamp=-1: needs to be above 0"),
        (lambda: AlgoConfig(advantage_baseline="x"), "algo.advantage_baseline=x: needs one of group,"),
        (lambda: AlgoConfig(advantage_epsilon_in="x"), "algo.advantage_epsilon_in=x: needs one of std,"),
        (lambda: AlgoConfig(correction_floor=3.0), "algo.correction_cap=2.0: needs to be above 3"),
        (lambda: AlgoConfig(dual_clip=1.0), "algo.dual_clip=1.0: needs to be above 1"),
        (lambda: AlgoConfig(surrogate="reinforce", ratio="sequence"), "algo.ratio=sequence: .* needs algo.ratio=token"),
        (lambda: AlgoConfig(kl_placement="reward"), "algo.advantage_std=sample: .* needs algo.advantage_std=none"),
        (
            lambda: AlgoConfig(group_size=2, advantage_std="others"),
            "algo.group_size=2: algo.advantage_std=others .* needs at least 3",
        ),
    ],
)
def test_contradictions_are_refused(make: Callable[[], object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()


STALE = partial(AlgoConfig, max_staleness=1, clip_low=0.2, clip_high=0.2, dual_clip=3.0)


def test_correction_is_on_only_where_generation_may_run_ahead() -> None:
    assert AlgoConfig().resolved_correction == "none"
    assert STALE().resolved_correction == "token_tis"
    assert STALE(correction="none").resolved_correction == "none"
    assert STALE(old_logprobs="engine").resolved_correction == "none"
    unweighted = STALE(old_logprobs="learner", allow_unweighted_staleness=True)
    assert unweighted.resolved_correction == "none" and unweighted.is_old_recomputed


def test_pi_old_is_the_learners_where_that_is_asked_for_or_weights_need_it() -> None:
    assert not AlgoConfig().is_old_recomputed and AlgoConfig(old_logprobs="learner").is_old_recomputed
    assert AlgoConfig(correction="token_mask").is_old_recomputed and STALE().is_old_recomputed
    assert not STALE(old_logprobs="engine").is_old_recomputed


def test_the_defaults_are_the_papers() -> None:
    algo = AlgoConfig()
    assert (algo.completions_per_step, algo.minibatches_per_step, algo.group_size) == (8192, 16, 16)
    assert (algo.clip_low, algo.clip_high, algo.kl_coefficient) == (10, 10, 0.001)
    assert (algo.aggregation, algo.reference_refresh_updates) == ("seq_mean", 400)
