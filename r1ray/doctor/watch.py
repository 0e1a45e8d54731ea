"""Observes the run of ``doctor --smoke``: seconds and results of each phase, and the one that fails.

A phase lasts while at least one of its calls is under way; many groups are generated, and many completions rewarded, at
the same time. The work of the loop between its calls is not counted.
"""

from __future__ import annotations

import math
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from r1ray.cluster.placement import nodes_of_cluster
from r1ray.errors import ParityError, R1RayError
from r1ray.types import (
    Float32Array,
    GroupRequest,
    Int32Array,
    PublishStats,
    ScoredGroup,
    ScoredTrajectory,
    ScoringFailed,
    Shard,
    StepStats,
)

if TYPE_CHECKING:
    from r1ray.cluster.launch import Running
    from r1ray.interfaces import GroupRunner, Learner
    from r1ray.loop.roles import Roles

PHASES = ("cluster", "model", "start", "generate", "reward", "learn", "publish", "probe", "export", "reload")
"""All phases, in the order of a report."""


class PhaseFailed(R1RayError):
    """A phase ended, and its result is wrong."""

    def __init__(self, phase: str, message: str) -> None:
        super().__init__(message)
        self.phase = phase


class Watch:
    """A :class:`r1ray.stages.watch.Watch`."""

    def __init__(self, probe_ids: Int32Array) -> None:
        """
        Args:
            probe_ids: [T] int32, of which the learner is asked for log-probabilities before each publish.
        """
        self._probe_ids = probe_ids
        self.placement: dict[str, list[str]] = {}
        """Addresses of the nodes that are reserved for the actors of each section, once these run. An empty list: the
        actors reserve nothing, and may be on any node."""
        self.trajectories: list[ScoredTrajectory] = []
        self.steps: list[StepStats] = []
        self.publishes: list[PublishStats] = []
        self.learner_logprobs: list[Float32Array] = []
        """[T-1] float32 for each publish."""
        self._seconds: defaultdict[str, float] = defaultdict(float)
        self._under_way: defaultdict[str, int] = defaultdict(int)
        self._since: dict[str, float] = {}
        self._spans: defaultdict[str, list[tuple[float, float]]] = defaultdict(list)  # of phases that groups tell of
        self._broken: dict[str, None] = {}  # phases whose last call did not end well, in the order in which it did not
        self._raised: dict[str, Exception] = {}  # what a call of each phase raised last
        self._last = PHASES[0]

    # ------------------------------------------------------------------ phases

    @contextmanager
    def during(self, phase: str) -> Iterator[None]:
        if not self._under_way[phase]:
            self._since[phase] = time.monotonic()
        self._under_way[phase] += 1
        self._last = phase
        try:
            yield
            self._broken.pop(phase, None)
        except BaseException as error:  # to be cancelled is how a call ends whose deadline has passed
            self._broken.setdefault(phase)
            if isinstance(error, Exception):
                self._raised[phase] = error
            raise
        finally:
            self._last = phase
            self._under_way[phase] -= 1
            if not self._under_way[phase]:
                self._seconds[phase] += time.monotonic() - self._since[phase]

    @property
    def seconds(self) -> dict[str, float]:
        """Seconds of each phase that was entered. The time of a probe is taken out of that of its publish."""
        probes = sum(published.probe_s for published in self.publishes)
        found = dict(self._seconds) | {phase: _covered(spans) for phase, spans in self._spans.items()}
        if self.publishes:
            found |= {"publish": found["publish"] - probes, "probe": probes}
        return {phase: found[phase] for phase in PHASES if phase in found}

    def failed(self, error: BaseException) -> str:
        """The phase in which the run failed with ``error``: the first phase whose last call did not end well (others
        were cancelled because of it), or else the phase that was entered last."""
        if isinstance(error, PhaseFailed):
            return error.phase
        if isinstance(error, ParityError):
            return "probe"
        return next(iter(self._broken), self._last)

    def reason(self, phase: str) -> Exception | None:
        """The last error in calls of a phase. The loop may have counted it instead of raising it."""
        unscored = [t.outcome.reason for t in self.trajectories if isinstance(t.outcome, ScoringFailed)]
        if phase == "reward" and unscored:
            return R1RayError(unscored[-1])
        return self._raised.get(phase)

    # ------------------------------------------------------------------ the loop's calls

    def started(self, running: Running) -> Roles:
        addresses = {node.id: node.address for node in nodes_of_cluster()}
        sections = [kind.section for kind in running.placement.need.kinds]
        self.placement = {
            each: sorted(addresses.get(node, node) for node in running.placement.nodes(each)) for each in sections
        }
        return self.watched(running.roles)

    def watched(self, roles: Roles) -> Roles:
        """The same roles; their calls are observed."""
        return replace(
            roles,
            groups=_Instead(roles.groups, run=self._run(roles.groups)),
            learner=_Instead(roles.learner, train=self._train(roles.learner)),
            weights=_Instead(roles.weights, publish=self._publish(roles)),
        )

    def _run(self, groups: GroupRunner) -> Any:
        async def watched(request: GroupRequest) -> ScoredGroup:
            with self.during("generate"):
                group = await groups.run(request)
            self._note(group)
            return group

        return watched

    def _note(self, group: ScoredGroup) -> None:
        """Note when a group was generated and rewarded, which is one call, and whether it could be rewarded."""
        now = time.monotonic()
        generated_at = now - group.reward_s
        self._spans["generate"].append((generated_at - group.generate_s, generated_at))
        self._spans["reward"].append((generated_at, now))
        self.trajectories += group.trajectories
        if any(isinstance(each.outcome, ScoringFailed) for each in group.trajectories):
            self._broken.setdefault("reward")
        else:
            self._broken.pop("reward", None)

    def _train(self, learner: Learner) -> Any:
        async def watched(shards: Sequence[Shard], groups: Sequence[ScoredGroup], **keywords: bool) -> StepStats:
            with self.during("learn"):
                stats = await learner.train(shards, groups, **keywords)
            self.steps.append(stats)
            return stats

        return watched

    def _publish(self, roles: Roles) -> Any:
        async def watched(version: int, **keywords: bool) -> PublishStats:
            expected = await roles.learner.logprobs([self._probe_ids])  # after it, its device may be the engines'
            with self.during("publish"):
                stats = await roles.weights.publish(version, **keywords)
            self.publishes.append(stats)
            self.learner_logprobs.append(expected)
            return stats

        return watched

    def moved(self) -> list[float]:
        """Largest change of a log-probability of the probe by each step, nats."""
        pairs = zip(self.learner_logprobs, self.learner_logprobs[1:], strict=False)
        return [float(np.abs(after - before).max()) for before, after in pairs]


def _covered(spans: Sequence[tuple[float, float]]) -> float:
    """Return the seconds that lie in at least one span."""
    covered, until = 0.0, -math.inf
    for start, end in sorted(spans):
        covered += max(0.0, end - max(start, until))
        until = max(until, end)
    return covered


class _Instead:
    """A role with other methods in the place of some of its own."""

    def __init__(self, role: Any, **methods: Any) -> None:
        self._role, self._methods = role, methods

    def __getattr__(self, name: str) -> Any:
        return self._methods[name] if name in self._methods else getattr(self._role, name)
