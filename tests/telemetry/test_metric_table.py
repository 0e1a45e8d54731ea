from __future__ import annotations

import pytest

from r1ray.telemetry.metric_table import METRICS, metric_of


@pytest.mark.parametrize(
    ("name", "meaning"),
    [
        ("reward/mean", "mean reward"),
        ("reward/my_part", "mean reward"),
        ("domain/math/length_mean", "share of the groups"),
        ("ledger/issued", "since the run began"),
        ("ledger/dropped/stale", "dropped, by reason"),
        ("eval/pass@1", "held-out"),
        ("eval/aime/domain/math/cons@16/tie_rate", "held-out"),
        ("eval/abandoned", "1 if an evaluation was lost"),
    ],
)
def test_a_metric_is_found_by_the_name_that_a_run_logs(name: str, meaning: str) -> None:
    found = metric_of(name)
    assert found is not None and found.meaning.startswith(meaning)


@pytest.mark.parametrize("name", ["reward/", "reward/a/b", "reward", "time/of_day", ""])
def test_another_name_has_no_row(name: str) -> None:
    assert metric_of(name) is None


def test_no_metric_has_two_rows() -> None:
    names = [name for metric in METRICS for name in metric.names]
    assert len(names) == len(set(names)) > 70


def test_what_can_be_mended_is_said_to_be_healthy_otherwise() -> None:
    assert [metric.names for metric in METRICS if metric.remedy and not metric.healthy] == []
    assert [metric.names for metric in METRICS if "|" in metric.meaning + metric.healthy + metric.remedy] == []
