"""When a step that was computed again is the one that was logged."""

from __future__ import annotations

import math
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from r1ray.config import LearnerConfig
from r1ray.config.router import RouterConfig
from r1ray.errors import UserError
from r1ray.stages.replay import compare, replay_step
from r1ray.stages.replayable import Source

LOGGED = {"loss/policy": 1e-4, "loss/total": 2e-4, "grad_norm": 3.0, "entropy": 2.0, "lr": 1e-6, "reward/mean": 1.0}


@pytest.mark.parametrize(
    ("key", "value", "dtype", "agrees"),
    [
        ("grad_norm", 3.0 + 2e-4, "float32", True),
        ("grad_norm", 3.0 + 2e-3, "float32", False),
        ("grad_norm", 3.0 + 2e-2, "bfloat16", True),
        ("grad_norm", 3.0 + 2e-1, "bfloat16", False),
        ("loss/policy", 1e-4 + 5e-6, "float32", True),
        ("loss/policy", 1e-4 - 5e-5, "float32", False),
        ("lr", 1.01e-6, "float32", False),
        ("entropy", math.nan, "bfloat16", False),
        ("reward/mean", 0.0, "float32", True),
    ],
)
def test_a_metric_agrees_within_the_tolerance_of_the_dtype(key: str, value: float, dtype: str, agrees: bool) -> None:
    compared = compare(LOGGED, LOGGED | {key: value}, LearnerConfig(dtype=dtype))
    assert [each.key for each in compared if not each.agrees] == ([] if agrees else [key])


def test_metrics_that_both_have_are_compared_in_their_order() -> None:
    compared = compare(LOGGED, {"grad_norm": 3.5, "kl/ref": 0.0, "loss/policy": 0.0}, LearnerConfig())
    assert [(each.key, each.difference) for each in compared] == [("loss/policy", -1e-4), ("grad_norm", 0.5)]


def test_a_step_under_routing_replay_cannot_be_computed_again(tmp_path: Path) -> None:
    log: Any = SimpleNamespace(
        folder=tmp_path, config=SimpleNamespace(learner=LearnerConfig(router=RouterConfig(replay=True)))
    )
    source = Source(step=1, checkpoint=None, model="somewhere", logged={})
    with pytest.raises(UserError, match=r"learner.router.replay=true: rollouts/ does not keep the experts"):
        replay_step(log, source)
