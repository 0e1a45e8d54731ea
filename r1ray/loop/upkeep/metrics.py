"""Metrics of one step, by their names in metrics.jsonl."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np

from r1ray.algo.compose import accuracy
from r1ray.runtime import events
from r1ray.runtime.events import Kind
from r1ray.turns import InEnvironment, error_rate
from r1ray.types import (
    EngineTimes,
    Outcome,
    Prompt,
    PublishStats,
    Scored,
    ScoredGroup,
    ScoredTrajectory,
    ScoringFailed,
    StepStats,
)

EVENTS: dict[str, tuple[Kind, str]] = {
    "idle_learner": ("wait", "groups"),
    "eval_wait": ("wait", "an evaluation"),
    "learn": ("learn", ""),
    "publish": ("publish", ""),
    "save": ("save", ""),
}
"""Parts of a step, as the timeline of the run shows them."""
SHORTEST_S = 0.001
"""Shortest part that the timeline shows."""


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values) if values else 0.0


def batch_metrics(
    batch: Sequence[ScoredGroup],
    version: int,
    *,
    prompts: Sequence[Prompt] = (),
    domains: Sequence[str] = (),
    num_dropped: int = 0,
) -> dict[str, float]:
    """Return rewards, lengths, staleness and waiting times of the groups that ``version`` was trained on.

    Args:
        prompts: prompts of the groups.
        domains: domains of all training prompts; if there are several, each has metrics of its own.
        num_dropped: as in :func:`group_metrics`.
    """
    trajectories = [trajectory for group in batch for trajectory in group.trajectories]
    scored = [trajectory.outcome for trajectory in trajectories if isinstance(trajectory.outcome, Scored)]
    worlds = [each.world or InEnvironment(name="") for each in trajectories]
    ages = [float(version - trajectory.oldest_version) for trajectory in trajectories]
    names = dict.fromkeys(name for outcome in scored for name in outcome.parts)
    parts = {
        f"reward/{name}": _mean([outcome.parts[name] for outcome in scored if name in outcome.parts]) for name in names
    }
    return {
        "reward/mean": _mean([outcome.total for outcome in scored]),
        **parts,
        **(domain_metrics(batch, prompts, domains) if len(domains) > 1 else {}),
        **environment_metrics(batch, prompts),
        **group_metrics(batch, num_dropped),
        **scoring_metrics(trajectories),
        "scoring/unscored": float(len(trajectories) - len(scored)),
        "completion/length_mean": _mean([float(each.num_policy_tokens) for each in trajectories]),
        "completion/truncated_rate": _mean([float(each.status == "truncated") for each in trajectories]),
        "trajectory/turns_mean": _mean([float(each.num_turns) for each in trajectories]),
        "trajectory/context_tokens_mean": _mean([float(each.num_context_tokens) for each in trajectories]),
        "trajectory/tool_calls_mean": _mean([float(world.num_calls) for world in worlds]),
        "trajectory/tool_errors_rate": error_rate((each.num_calls, each.num_errors) for each in worlds),
        "trajectory/branches_mean": _mean([float(each.num_branches) for each in trajectories]),
        "staleness/mean": _mean(ages),
        "staleness/max": max(ages),
        "time/generate_s": max(group.generate_s for group in batch),
        "time/reward_s": max(group.reward_s for group in batch),
    }


def domain_metrics(batch: Sequence[ScoredGroup], prompts: Sequence[Prompt], domains: Sequence[str]) -> dict[str, float]:
    """Return the share of each domain in the groups, and mean reward and length of the domains that have any."""
    metrics: dict[str, float] = {}
    for domain in domains:
        groups = [group for group, prompt in zip(batch, prompts, strict=True) if prompt.domain == domain]
        metrics[f"domain/{domain}/share"] = len(groups) / len(batch)
        trajectories = [trajectory for group in groups for trajectory in group.trajectories]
        scored = [trajectory.outcome.total for trajectory in trajectories if isinstance(trajectory.outcome, Scored)]
        if scored:
            metrics[f"domain/{domain}/reward_mean"] = _mean(scored)
            metrics[f"domain/{domain}/length_mean"] = _mean([float(each.num_policy_tokens) for each in trajectories])
    return metrics


def environment_metrics(batch: Sequence[ScoredGroup], prompts: Sequence[Prompt]) -> dict[str, float]:
    """Return, for each environment that prompts of the groups name, its share of the groups and statistics of its
    trajectories."""
    metrics: dict[str, float] = {}
    for name in sorted({prompt.environment for prompt in prompts} - {""}):
        groups = [group for group, prompt in zip(batch, prompts, strict=True) if prompt.environment == name]
        trajectories = [trajectory for group in groups for trajectory in group.trajectories]
        scored = [each.outcome for each in trajectories if isinstance(each.outcome, Scored)]
        metrics[f"environment/{name}/share"] = len(groups) / len(batch)
        if scored:
            right = [float(accuracy(each.parts, each.total) >= 1.0) for each in scored]
            metrics[f"environment/{name}/reward_mean"] = _mean([each.total for each in scored])
            metrics[f"environment/{name}/pass_at_1"] = _mean(right)
            metrics[f"environment/{name}/length_mean"] = _mean([float(each.num_policy_tokens) for each in trajectories])
            metrics[f"environment/{name}/turns_mean"] = _mean([float(each.num_turns) for each in trajectories])
            metrics[f"environment/{name}/wait_s"] = _mean([each.world.seconds for each in trajectories if each.world])
        if calls := [each.world.agent for each in trajectories if each.world is not None and each.world.agent]:
            num_later = sum(max(0, each.num_answered - 1) for each in calls)
            extending = sum(each.num_extending for each in calls) / num_later if num_later else 1.0
            metrics[f"environment/{name}/extending_share"] = extending
            metrics[f"environment/{name}/branches_mean"] = _mean([float(each.num_branches) for each in trajectories])
            refused = [float(sum(each.refused.values())) for each in calls]
            metrics[f"environment/{name}/refused_calls_mean"] = _mean(refused)
    return metrics


def group_metrics(batch: Sequence[ScoredGroup], num_dropped: int = 0) -> dict[str, float]:
    """Return the spread of rewards within groups, from which advantages are made.

    Args:
        num_dropped: groups that were dropped because their rewards are all equal.
    """
    stds = []
    for group in batch:
        rewards = [each.outcome.total for each in group.trajectories if isinstance(each.outcome, Scored)]
        stds.append(float(np.std(rewards)) if rewards else 0.0)
    return {
        "group/reward_std": _mean(stds),
        "group/uniform_rate": (stds.count(0.0) + num_dropped) / max(1, len(stds) + num_dropped),
        "group/retried": float(sum(group.num_retries for group in batch)),
    }


def scoring_metrics(trajectories: Sequence[ScoredTrajectory]) -> dict[str, float]:
    """Return the seconds of scoring a trajectory, and the share of each label (``correct``, ``wrong``, ``timeout``,
    ...; ``infrastructure_error`` if the trajectory could not be scored, ``reward_error`` if it was masked)."""
    seconds = np.array([trajectory.seconds for trajectory in trajectories])
    kinds = Counter(map(_kind, (trajectory.outcome for trajectory in trajectories)))
    p50, p95, p99 = np.percentile(seconds, [50, 95, 99])
    return {
        **{f"scoring/{kind}": count / len(trajectories) for kind, count in sorted(kinds.items()) if kind},
        "scoring/seconds_p50": float(p50),
        "scoring/seconds_p95": float(p95),
        "scoring/seconds_p99": float(p99),
    }


def _kind(outcome: Outcome) -> str:
    if isinstance(outcome, Scored):
        return outcome.label
    return "reward_error" if isinstance(outcome, ScoringFailed) and outcome.failures else "infrastructure_error"


def step_metrics(
    groups: Sequence[ScoredGroup],
    prompts: Sequence[Prompt],
    stats: StepStats,
    published: PublishStats,
    *,
    domains: Sequence[str],
    num_dropped: int,
    seconds: float,
) -> dict[str, float]:
    """Return the metrics of a step that took ``seconds``."""
    return {
        **batch_metrics(groups, published.version - 1, prompts=prompts, domains=domains, num_dropped=num_dropped),
        **stats.metrics,
        **publish_metrics(published),
        **throughput_metrics(groups, stats, seconds),
    }


def publish_metrics(published: PublishStats) -> dict[str, float]:
    """Return the cost and the verification results of a publish."""
    metrics = {"time/publish_s": published.seconds, "publish/resent": float(published.num_resent)}
    if published.probe_max_diff is not None:
        metrics["publish/probe_max_logprob_diff"] = published.probe_max_diff
    if published.probe_mean_diff is not None and published.probe_kl is not None:
        metrics["publish/probe_mean_logprob_diff"] = published.probe_mean_diff
        metrics["publish/probe_kl"] = published.probe_kl
    if turns := published.turn_s:
        metrics["time/sleep_s"], metrics["time/wake_s"] = turns["sleep"], turns["wake"]
        metrics["time/hand_over_s"] = turns["hand_over"]
    return metrics


def throughput_metrics(batch: Sequence[ScoredGroup], stats: StepStats, seconds: float) -> dict[str, float]:
    """Return samples and tokens a second of the whole step."""
    trajectories = [trajectory for group in batch for trajectory in group.trajectories]
    return {
        "throughput/samples_per_s": len(trajectories) / seconds,
        "throughput/generated_tokens_per_s": sum(each.num_policy_tokens for each in trajectories) / seconds,
        "throughput/trained_tokens_per_s": stats.trained_tokens / seconds,
        "learner/padding_share": stats.padding_tokens / max(1, stats.padding_tokens + stats.trained_tokens),
    }


class StepClock:
    """Clock for the seconds of a step and of its parts, which add up to the step's. A step begins when the one before
    ends."""

    def __init__(self) -> None:
        self._start = self._last = time.monotonic()
        self._laps: dict[str, float] = {}

    def lap(self, name: str) -> None:
        """End a part, which began when the previous one ended. A part may occur several times."""
        before, self._last = self._last, time.monotonic()
        seconds = self._last - before
        self._laps[name] = self._laps.get(name, 0.0) + seconds
        if name in EVENTS and seconds >= SHORTEST_S:
            kind, detail = EVENTS[name]
            events.note(kind, start=time.time() - seconds, detail=detail)

    def stop(self) -> dict[str, float]:
        """End the step and begin the next. Returns ``time/<part>_s`` and ``time/step_s``."""
        self.lap("other")
        laps, self._laps = self._laps, {}
        seconds, self._start = self._last - self._start, self._last
        return {f"time/{name}_s": each for name, each in laps.items()} | {"time/step_s": seconds}


class EngineTally:
    """Times of every engine in a step, as differences of the totals that it reports."""

    def __init__(self) -> None:
        self._before: Mapping[str, EngineTimes] = {}

    def metrics(self, now: Mapping[str, EngineTimes]) -> dict[str, float]:
        """Return ``engine/<name>/{busy,idle,paused}_s`` since the last call, which add up to its wall time, and their
        means: ``time/idle_rollout_s``, ``time/eval_s`` (evaluation's part of the busy time)."""
        metrics: dict[str, float] = {}
        spent = [_since(times, self._before.get(name)) for name, times in now.items()]
        for name, each in zip(now, spent, strict=True):
            metrics[f"engine/{name}/busy_s"] = each.busy_s
            metrics[f"engine/{name}/idle_s"] = each.idle_s
            metrics[f"engine/{name}/paused_s"] = each.paused_s
        self._before = now
        if len(now) > MAX_ENGINES:
            metrics = {}
        return metrics | {
            "time/busy_rollout_s": _mean([each.busy_s for each in spent]),
            "time/idle_rollout_s": _mean([each.idle_s for each in spent]),
            "time/paused_rollout_s": _mean([each.paused_s for each in spent]),
            "time/eval_s": _mean([each.eval_s for each in spent]),
        }


MAX_ENGINES = 32
"""Number of engines beyond which only their means are logged."""


def _since(now: EngineTimes, before: EngineTimes | None) -> EngineTimes:
    if before is None or now.busy_s < before.busy_s or now.idle_s < before.idle_s or now.paused_s < before.paused_s:
        return now  # an engine that took the place of a lost one
    return EngineTimes(
        now.busy_s - before.busy_s,
        now.idle_s - before.idle_s,
        now.paused_s - before.paused_s,
        now.eval_s - before.eval_s,
    )
