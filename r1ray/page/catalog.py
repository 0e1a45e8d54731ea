"""The charts of a report, in their order, each with the sentence that says what it shows.

A chart is drawn where a run has the metric. All other metrics can be chosen in the page.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from r1ray.telemetry.metric_table import metric_of

PAPER, REWARD, POLICY, ENGINES, TIME = "The paper's figures", "Reward", "Policy", "Engines and learner", "Time"


@dataclass(frozen=True, slots=True)
class Chart:
    """One chart: a metric, or each of those that match."""

    section: str
    pattern: str
    """A regular expression of the whole name."""
    unit: str
    meaning: str


CHARTS = (
    Chart(PAPER, r"eval/(?:[^/]+/)?pass@1", "share", "held-out questions that one sample answers right"),
    Chart(PAPER, r"eval/(?:[^/]+/)?cons@\d+", "share", "held-out questions that the majority of samples answers right"),
    Chart(PAPER, r"completion/length_mean", "tokens", "policy tokens of a trajectory in training"),
    Chart(PAPER, r"eval/(?:[^/]+/)?length_mean", "tokens", "tokens of an answer to a held-out question"),
    Chart(PAPER, r"reflection/share", "share", "trajectories that go back on what they wrote: wait, let me check"),
    Chart(REWARD, r"reward/mean", "", "mean reward of the trajectories"),
    Chart(REWARD, r"reward/(?!mean$|errors).+", "", "mean of this part of the reward"),
    Chart(REWARD, r"group/uniform_rate", "rate", "groups whose rewards are all equal: they teach nothing"),
    Chart(REWARD, r"completion/truncated_rate", "rate", "trajectories that the length limit cut"),
    Chart(REWARD, r"scoring/no_answer", "share", "trajectories without an answer that could be read"),
    Chart(POLICY, r"kl/ref", "nats", "mean KL estimate of a token to the reference"),
    Chart(POLICY, r"teacher/kl(/.+)?", "nats", "reverse KL of a token to the teacher, and by domain: falls towards 0"),
    Chart(POLICY, r"entropy", "nats", "mean entropy of the policy at a token"),
    Chart(POLICY, r"grad_norm", "", "norm of the gradient, mean over the step's updates"),
    Chart(POLICY, r"clip_fraction", "share", "tokens whose ratio was clipped"),
    Chart(POLICY, r"loss/total", "", "loss, mean over the step's updates"),
    Chart(POLICY, r"lr", "", "learning rate of the last update"),
    Chart(ENGINES, r"mismatch/kl", "nats", "learner against engines, over all tokens"),
    Chart(ENGINES, r"mismatch/fresh_kl", "nats", "learner against engines, over tokens of the version that is trained"),
    Chart(ENGINES, r"staleness/mean", "versions", "age of a trajectory's oldest token when it is trained on"),
    Chart(ENGINES, r"staleness/max", "versions", "age of the oldest token of all that are trained on"),
    Chart(ENGINES, r"ledger/dropped", "groups", "groups that were dropped since the run began"),
    Chart(TIME, r"time/step_s", "s", "seconds of a step"),
    Chart(TIME, r"time/idle_learner_s", "s", "seconds of a step in which the learner waits for groups"),
    Chart(TIME, r"throughput/generated_tokens_per_s", "1/s", "tokens that the engines sample in a second"),
)


def charts_of(names: Iterable[str]) -> list[dict[str, str]]:
    """Return the charts that can be drawn of metrics of these names, in order."""
    return list(_charts(sorted(set(names))))


def guide_of(names: Iterable[str]) -> dict[str, dict[str, str]]:
    """Return what the table of metrics says of each that it has: its meaning, what is healthy, and the remedy."""
    found = {name: metric_of(name) for name in sorted(set(names))}
    return {
        name: {"meaning": _plain(row.meaning), "healthy": _plain(row.healthy), "remedy": _plain(row.remedy)}
        for name, row in found.items()
        if row is not None
    }


def _plain(text: str) -> str:
    """Return a text without its marks of code."""
    return text.replace("`", "")


def _charts(names: list[str]) -> Iterator[dict[str, str]]:
    drawn: set[str] = set()
    for chart in CHARTS:
        for name in names:
            if name not in drawn and re.fullmatch(chart.pattern, name):
                drawn.add(name)
                yield {"section": chart.section, "metric": name, "unit": chart.unit, "meaning": chart.meaning}
