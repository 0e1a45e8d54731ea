from __future__ import annotations

from r1ray.page.catalog import PAPER, REWARD, charts_of, guide_of


def test_the_papers_figures_come_first_and_each_metric_once() -> None:
    names = ["reward/mean", "reward/accuracy", "eval/a/pass@1", "eval/a/cons@16", "completion/length_mean", "unknown"]
    charts = [(chart["section"], chart["metric"]) for chart in charts_of([*names, *names])]
    assert charts == [
        (PAPER, "eval/a/pass@1"),
        (PAPER, "eval/a/cons@16"),
        (PAPER, "completion/length_mean"),
        (REWARD, "reward/mean"),
        (REWARD, "reward/accuracy"),
    ]


def test_the_guide_says_what_is_healthy_of_metrics_that_the_table_has() -> None:
    guide = guide_of(["reward/accuracy", "reflection/unknown"])
    assert list(guide) == ["reward/accuracy"]
    assert guide["reward/accuracy"]["healthy"] and "`" not in guide["reward/accuracy"]["remedy"]
