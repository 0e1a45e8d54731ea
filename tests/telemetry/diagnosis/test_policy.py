from __future__ import annotations

from tests.telemetry.diagnosis.planted_runs import PLANTED
from tests.telemetry.diagnosis.recorded import found, planted


def test_low_entropy_of_a_policy_that_is_right_is_no_collapse() -> None:
    rows = planted({**PLANTED["entropy_collapse"], "scoring/correct": 0.97, "scoring/wrong": 0.03})
    assert found(rows) == {}


def test_low_entropy_from_the_start_is_no_collapse() -> None:
    assert found(planted({"entropy": 0.03, "group/uniform_rate": 0.7})) == {}


def test_low_entropy_of_groups_that_still_differ_is_no_collapse() -> None:
    assert found(planted({**PLANTED["entropy_collapse"], "group/uniform_rate": 0.2})) == {}


def test_one_step_that_jumps_is_no_explosion() -> None:
    assert found(planted({"kl/ref": lambda step: 9.0 if step == 25 else 0.3})) == {}
    assert found(planted({"mismatch/kl": lambda step: 9.0 if step == 25 else 0.01})) == {}


def test_a_mismatch_that_is_large_but_steady_is_not_said_to_grow() -> None:
    assert found(planted({"mismatch/kl": 0.2})) == {}


def test_a_mismatch_of_fresh_tokens_is_about_precision_and_of_others_about_age() -> None:
    fresh = found(planted(PLANTED["mismatch_growth:numerics"]))["mismatch_growth"]
    assert fresh.metric == "mismatch/fresh_kl" and "rollout.dtype (now float32)" in fresh.advice
    stale = found(planted(PLANTED["mismatch_growth:stale"]))["mismatch_growth"]
    assert stale.metric == "mismatch/kl" and "algo.max_staleness (now 4)" in stale.advice
