"""The driver's memory of what the view of a run shows: its stage, last step and last rewards.

begin_stage, expect_steps, end_step, show_sample --> Live --> r1ray.telemetry.live_view
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Mapping
from pathlib import Path

RECENT = 5
"""Steps over which the reward is a mean: a few prompts a step jump by 0.3."""


class TimeLeft:
    """Time that the remaining steps take, at the pace since the first one that this process saw."""

    def __init__(self, num_steps: int) -> None:
        self.num_steps = num_steps
        self._first: tuple[float, float] | None = None

    def after(self, step: float) -> str:
        """``minutes:seconds``; empty at the first call, whose step only starts the clock."""
        now = time.monotonic()
        since, first = self._first = self._first or (now, step)
        if step <= first:
            return ""
        return clock((now - since) / (step - first) * (self.num_steps - step))


class RecentRewards:
    """The mean rewards of the last steps; those of steps that are made again are forgotten."""

    def __init__(self) -> None:
        self._known: deque[tuple[float, float]] = deque(maxlen=RECENT)

    def note(self, step: float, reward: float) -> None:
        """Note the mean reward of a step."""
        while self._known and self._known[-1][0] >= step:
            self._known.pop()
        self._known.append((step, reward))

    @property
    def mean(self) -> float | None:
        """Return their mean; None before the first step."""
        known = list(self._known)  # at once: another thread notes
        return sum(reward for _, reward in known) / len(known) if known else None


def clock(seconds: float) -> str:
    """Return a time as people write it.

    >>> clock(59.7), clock(3600 + 62)
    ('1:00', '1:01:02')
    """
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes}:{rest:02d}" if minutes < 60 else f"{minutes // 60}:{minutes % 60:02d}:{rest:02d}"


class Live:
    """The state of a run. One thread notes it, another one reads."""

    def __init__(self, run_dir: Path) -> None:
        self.run_dir, self.begun = run_dir, time.monotonic()
        self.begin_stage("")

    def begin_stage(self, name: str) -> None:
        """Forget the stage before."""
        self.stage, self.stage_begun = name, time.monotonic()
        self.row: dict[str, float] = {}
        self.tested: dict[str, float] = {}
        self.rewards = RecentRewards()
        self.left, self.sample = "", ""
        self._pace: TimeLeft | None = None

    def expect_steps(self, num_steps: int) -> None:
        """Note how many steps the stage has."""
        self._pace = TimeLeft(num_steps)

    @property
    def num_steps(self) -> int:
        """Return the steps of the stage; 0 where it has none, or has not said."""
        return self._pace.num_steps if self._pace else 0

    def end_step(self, metrics: Mapping[str, float]) -> None:
        """Note a line of metrics: of a step, of an evaluation, or of both."""
        tested = {name: value for name, value in metrics.items() if name.startswith("eval/")}
        self.tested = tested or self.tested
        if self._pace:
            self.left = self._pace.after(metrics["step"])
        if "time/step_s" in metrics or not self.row:
            self.row = dict(metrics)
        if "reward/mean" in metrics:
            self.rewards.note(metrics["step"], metrics["reward/mean"])
