"""The figures of one step, by the names of metrics.jsonl."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np

from r1ray.rollout.group import FinishedGroup
from r1ray.types import PublishStats, Scored, ScoredTrajectory, StepStats


def oldest_version(group: FinishedGroup[Any]) -> int:
    """The version that sampled the oldest token of the group."""
    return min(trajectory.oldest_version for trajectory in group.all_trajectories)


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values) if values else 0.0


def batch_metrics(
    batch: Sequence[FinishedGroup[Any]], version: int, *, domains: Sequence[str] = ()
) -> dict[str, float]:
    """Rewards, lengths, staleness and waiting times of the groups that ``version`` was trained on.

    Args:
        domains: of the training prompts; where there are several, each has figures of its own.
    """
    trajectories = [trajectory for group in batch for trajectory in group.all_trajectories]
    scored = [trajectory.outcome for trajectory in trajectories if isinstance(trajectory.outcome, Scored)]
    ages = [float(version - trajectory.oldest_version) for trajectory in trajectories]
    names = dict.fromkeys(name for outcome in scored for name in outcome.parts)
    parts = {
        f"reward/{name}": _mean([outcome.parts[name] for outcome in scored if name in outcome.parts]) for name in names
    }
    return {
        "reward/mean": _mean([outcome.total for outcome in scored]),
        **parts,
        **(domain_metrics(batch, domains) if len(domains) > 1 else {}),
        **scoring_metrics(trajectories),
        "reward/failed_parts": float(sum(len(outcome.failed_parts) for outcome in scored)),
        "reward/unscored": float(len(trajectories) - len(scored)),
        "completion/length_mean": _mean([float(each.num_policy_tokens) for each in trajectories]),
        "completion/truncated_rate": _mean([float(each.status == "truncated") for each in trajectories]),
        "trajectory/turns_mean": _mean([float(each.num_turns) for each in trajectories]),
        "trajectory/context_tokens_mean": _mean([float(each.num_context_tokens) for each in trajectories]),
        "trajectory/branches_mean": _mean([float(each.num_branches) for each in trajectories]),
        "staleness/mean": _mean(ages),
        "staleness/max": max(ages),
        "time/generate_s": max(group.generate_s for group in batch),
        "time/reward_s": max(group.reward_s for group in batch),
    }


def domain_metrics(batch: Sequence[FinishedGroup[Any]], domains: Sequence[str]) -> dict[str, float]:
    """Share of each domain in the groups; mean reward and length of those that have any."""
    metrics: dict[str, float] = {}
    for domain in domains:
        groups = [group for group in batch if group.request.prompt.domain == domain]
        metrics[f"mixture/{domain}"] = len(groups) / len(batch)
        trajectories = [trajectory for group in groups for trajectory in group.all_trajectories]
        scored = [trajectory.outcome.total for trajectory in trajectories if isinstance(trajectory.outcome, Scored)]
        if scored:
            metrics[f"reward/domain/{domain}/mean"] = _mean(scored)
            metrics[f"completion/domain/{domain}/length_mean"] = _mean(
                [float(each.num_policy_tokens) for each in trajectories]
            )
    return metrics


def scoring_metrics(trajectories: Sequence[ScoredTrajectory]) -> dict[str, float]:
    """How scoring went: seconds a trajectory, and the share of each label (``correct``, ``wrong``,
    ``timeout``, ...; ``infrastructure_error`` where it could not be scored)."""
    seconds = np.array([trajectory.seconds for trajectory in trajectories])
    kinds = Counter(
        trajectory.outcome.label if isinstance(trajectory.outcome, Scored) else "infrastructure_error"
        for trajectory in trajectories
    )
    p50, p95, p99 = np.percentile(seconds, [50, 95, 99])
    return {
        **{f"scoring/{kind}": count / len(trajectories) for kind, count in sorted(kinds.items()) if kind},
        "scoring/seconds_p50": float(p50),
        "scoring/seconds_p95": float(p95),
        "scoring/seconds_p99": float(p99),
    }


def step_metrics(
    groups: Sequence[FinishedGroup[Any]],
    stats: StepStats,
    published: PublishStats,
    *,
    domains: Sequence[str],
    seconds: float,
) -> dict[str, float]:
    """Return what a step that took ``seconds`` did with its groups."""
    return {
        **batch_metrics(groups, published.version - 1, domains=domains),
        **stats.metrics,
        **publish_metrics(published),
        **throughput_metrics(groups, stats, seconds),
    }


def publish_metrics(published: PublishStats) -> dict[str, float]:
    """What a publish cost and found."""
    metrics = {"time/publish_s": published.seconds, "publish/resent": float(published.num_resent)}
    if published.probe_max_diff is not None:
        metrics["publish/probe_max_logprob_diff"] = published.probe_max_diff
    if published.probe_mean_diff is not None and published.probe_kl is not None:
        metrics["publish/probe_mean_logprob_diff"] = published.probe_mean_diff
        metrics["publish/probe_kl"] = published.probe_kl
    return metrics


def throughput_metrics(batch: Sequence[FinishedGroup[Any]], stats: StepStats, seconds: float) -> dict[str, float]:
    """Samples and tokens a second of the whole step."""
    trajectories = [trajectory for group in batch for trajectory in group.all_trajectories]
    return {
        "throughput/samples_per_s": len(trajectories) / seconds,
        "throughput/generated_tokens_per_s": sum(each.num_policy_tokens for each in trajectories) / seconds,
        "throughput/trained_tokens_per_s": stats.trained_tokens / seconds,
        "learner/padding_share": stats.padding_tokens / max(1, stats.padding_tokens + stats.trained_tokens),
    }


class StepClock:
    """Seconds of a step and of its parts."""

    def __init__(self) -> None:
        self._start = self._last = time.monotonic()
        self.metrics: dict[str, float] = {}
        """By the names of metrics.jsonl."""

    def lap(self, name: str) -> None:
        """End a part, which began where the one before ended."""
        before, self._last = self._last, time.monotonic()
        self.metrics[name] = self._last - before

    def stop(self) -> float:
        """End the step; return its seconds."""
        seconds = self.metrics["time/step_s"] = time.monotonic() - self._start
        return seconds


class IdleClock:
    """Seconds during which nothing was being generated."""

    def __init__(self) -> None:
        self._active = 0
        self._idle = 0.0
        self._since = time.monotonic()

    def busy(self) -> IdleClock:
        return self

    def __enter__(self) -> None:
        if self._active == 0:
            self._idle += time.monotonic() - self._since
        self._active += 1

    def __exit__(self, *exception: object) -> None:
        self._active -= 1
        if self._active == 0:
            self._since = time.monotonic()

    def idle_s(self) -> float:
        """Idle seconds since the last call."""
        if self._active == 0:
            now = time.monotonic()
            self._idle += now - self._since
            self._since = now
        idle, self._idle = self._idle, 0.0
        return idle

    def metrics(self) -> dict[str, float]:
        """``time/idle_rollout_s`` of metrics.jsonl, since the last call of :meth:`idle_s`."""
        return {"time/idle_rollout_s": self.idle_s()}
