"""A run's metrics on the metrics port of a real Ray node."""

from __future__ import annotations

import math
import re
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
import ray

from r1ray.cluster.gauges import Gauges

pytestmark = pytest.mark.long
PATIENCE_S = 120.0
LINE = {
    "step": 3.0,
    "reward/mean": 0.25,
    "reward/accuracy": 0.5,
    "kl/ref": math.nan,
    "eval/held/pass@1": 0.75,
    "wall_time": 1.0,
}


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    """The metrics port of a Ray node of this test's own."""
    ray.init(num_cpus=1, include_dashboard=False, log_to_driver=False, configure_logging=False)
    try:
        [node] = ray.nodes()
        yield int(node["MetricsExportPort"])
    finally:
        ray.shutdown()


def scraped(port: int) -> dict[str, float]:
    """Return the values of r1ray's series by name and labels, without those that Ray adds."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
        text = answer.read().decode()
    found = {}
    for name, labels, value in re.findall(r"^(ray_r1ray_\w+)\{(.*)\} (\S+)$", text, re.MULTILINE):
        own = [
            each for each in re.findall(r'(\w+="[^"]*")', labels) if each[0].islower() and not each.startswith("otel")
        ]
        found[f"{name}{{{','.join(sorted(own))}}}"] = float(value)
    return found


def awaited(port: int, name: str) -> dict[str, float]:
    """Return what is scraped once it has a series."""
    until = time.monotonic() + PATIENCE_S
    while name not in (found := scraped(port)):
        assert time.monotonic() < until, found
        time.sleep(1)
    return found


def test_the_node_offers_every_metric_of_a_line_under_its_series(port: int) -> None:
    Gauges.of(Path("runs/r1/stages/reasoning_rl"), stage="rl").set(LINE)
    of_run = 'run="r1",stage="reasoning_rl"'
    found = awaited(port, f"ray_r1ray_step{{{of_run}}}")
    assert found[f"ray_r1ray_reward_mean{{{of_run}}}"] == 0.25
    assert found[f'ray_r1ray_reward_by_part{{part="accuracy",{of_run}}}'] == 0.5
    assert found['ray_r1ray_eval{domain="",metric="pass@1",run="r1",set="held",stage="reasoning_rl"}'] == 0.75
    assert not any("wall_time" in name for name in found)


def test_setting_the_gauges_of_a_large_line_takes_milliseconds(port: int) -> None:
    line = {f"engine/{i}/busy_s": 1.0 for i in range(32)} | {f"reward/part_{i}": 1.0 for i in range(68)}
    gauges = Gauges(run="large", stage="rl")
    gauges.set(line)
    began = time.process_time()
    for _ in range(20):
        gauges.set(line)
    assert (time.process_time() - began) / 20 < 0.01  # 1 % of a step of the quickstart, with 100 metrics
