from __future__ import annotations

import re

import pytest

from r1ray.telemetry.metric_table import METRICS
from r1ray.telemetry.series import Series, families, series_of

RAY_TAKES = re.compile(r"[a-zA-Z_:][a-zA-Z0-9_:]*")


def eval_labels(**given: str) -> dict[str, str]:
    return {"set": "", "domain": "", "environment": "", "metric": "pass@1"} | given


@pytest.mark.parametrize(
    ("metric", "name", "labels"),
    [
        ("reward/mean", "r1ray_reward_mean", {}),
        ("reward/accuracy", "r1ray_reward_by_part", {"part": "accuracy"}),
        ("ledger/dropped", "r1ray_ledger_dropped", {}),
        ("ledger/dropped/stale", "r1ray_ledger_dropped_by_reason", {"reason": "stale"}),
        ("removed/late_rate", "r1ray_removed_rate", {"reason": "late"}),
        ("domain/math/share", "r1ray_domain_share", {"domain": "math"}),
        ("time/step_s", "r1ray_time_step_s", {}),
        ("eval/abandoned", "r1ray_eval_abandoned", {}),
        ("eval/pass@1", "r1ray_eval", eval_labels()),
        ("eval/held/cons@4/tie_rate", "r1ray_eval", eval_labels(set="held", metric="cons@4/tie_rate")),
        ("eval/domain/math/pass@1", "r1ray_eval", eval_labels(domain="math")),
        ("eval/held/environment/maze/pass@1", "r1ray_eval", eval_labels(set="held", environment="maze")),
        ("eval/a/b/domain/x/y/pass@1", "r1ray_eval", eval_labels(set="a/b", domain="x/y")),
    ],
)
def test_a_metric_has_a_fixed_name_and_its_free_words_are_labels(
    metric: str, name: str, labels: dict[str, str]
) -> None:
    assert series_of(metric) == Series(name, labels)


def test_what_the_table_does_not_have_has_no_series() -> None:
    assert [series_of(name) for name in ("stage", "wall_time", "time/of_day", "reward")] == [None] * 4


def test_ray_takes_every_name_and_no_two_metrics_share_one() -> None:
    assert all(RAY_TAKES.fullmatch(name) for name in families())
    num_names = sum(len(metric.names) for metric in METRICS)
    assert len(families()) == num_names - 1  # the two of evaluations are one series


def test_every_metric_of_the_table_has_a_series_with_the_labels_that_its_family_declares() -> None:
    for metric in METRICS:
        for name in metric.names:
            series = series_of(re.sub(r"<\w+>", "7", name))
            assert series is not None
            assert set(series.labels) == set(families()[series.name][0])
