"""The phases in words and numbers."""

from __future__ import annotations

import numpy as np
import pytest

from r1ray.doctor.phases import Did, generated, learned, probed, published, reloaded, rewarded, started
from r1ray.types import Outcome, PublishStats, Scored, ScoredTrajectory, ScoringFailed, StepStats
from tests.fakes import make_trajectory


def scored(outcome: Outcome) -> ScoredTrajectory:
    return ScoredTrajectory.of(make_trajectory(num_tokens=5), outcome, extracted=None)


def published_as(version: int, *, seconds: float, probe_s: float, diff: float, resent: int = 0) -> PublishStats:
    return PublishStats(version, seconds, 8_000_000, 2 - bool(version), resent, diff, diff / 4, probe_s=probe_s)


PUBLISHES = [
    published_as(0, seconds=5.0, probe_s=3.0, diff=0.02),
    published_as(1, seconds=0.5, probe_s=0.1, diff=0.04, resent=1),
]


def test_actors_are_counted() -> None:
    assert started(ranks=2, engines=1, reward_actors=3).found == "2 learner ranks, 1 engine, 3 reward actors"


def test_tokens_a_second_are_of_the_phase_alone() -> None:
    did = generated([scored(Scored(1.0, {}))] * 4, 2.0)
    assert did == Did("20 tokens, 10 tokens/s", {"tokens": 20, "tokens_per_s": 10.0})


def test_a_phase_that_took_no_time_at_all_divides_by_none() -> None:
    assert generated([], 0.0).metrics["tokens_per_s"] == 0.0


def test_completions_without_a_reward_are_counted_apart() -> None:
    did = rewarded([scored(Scored(0.5, {})), scored(ScoringFailed("no verifier"))], 1.0)
    assert did.found == "1 of 2 completions scored, 2/s, mean reward 0.50"


def test_the_step_that_changed_least_is_the_one_that_is_told() -> None:
    steps = [StepStats({}, trained_tokens=30, padding_tokens=9)] * 2
    did = learned(steps, [2.5, 1.25], 2.0)
    assert did.metrics == {"tokens": 60, "tokens_per_s": 30.0, "moved_nats": 1.25}
    assert "moves log-probabilities by 1.2 nats or more" in did.found
    assert "moved_nats" not in learned(steps, [], 2.0).metrics


def test_a_publish_is_timed_without_its_probe_and_tells_of_what_was_sent_again() -> None:
    did = published(PUBLISHES)
    assert did.found == "2 x 8 MB to 2 engines: first 2.00 s, last 0.40 s; sent again 1 times"
    assert did.metrics["bytes"] == 8_000_000 and did.metrics["resent"] == 1


def test_the_worst_probe_is_told_with_its_bound() -> None:
    did = probed(PUBLISHES, 0.1)
    assert did.found.startswith("engines differ from the learner by 0.04 nats at most, 0.01 in the mean (bound 0.1)")
    assert (did.metrics["first_s"], did.metrics["last_s"]) == (3.0, 0.1)


def test_a_single_time_is_no_first_and_last() -> None:
    assert probed(PUBLISHES[:1], 0.1).found.endswith("; 3.00 s")


def test_an_export_is_compared_token_by_token() -> None:
    learner = np.array([-1.0, -2.0], dtype=np.float32)
    did = reloaded(learner + np.array([0.0, 0.5], dtype=np.float32), learner, 0.1)
    assert (did.metrics["max_nats"], did.metrics["mean_nats"]) == pytest.approx((0.5, 0.25))
