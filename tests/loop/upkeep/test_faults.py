"""Counts of lost actors."""

from __future__ import annotations

from r1ray.loop.upkeep.faults import Faults


def test_roles_that_lost_nothing_have_no_metric_and_restarts_always_have_one() -> None:
    faults = Faults()
    assert faults.metrics() == {"learner/restarts": 0.0}
    faults.note("learner_rank", 2)
    faults.note("rollout_worker")
    faults.note("rollout_worker")
    faults.restarts += 1
    assert faults.metrics() == {"learner/restarts": 1.0, "faults/learner_rank": 2.0, "faults/rollout_worker": 2.0}
