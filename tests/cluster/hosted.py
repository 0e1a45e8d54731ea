"""Roles that tests host as actors: small, and told what to do by the names of groups."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from r1ray.cluster.group_host import GroupHost
from r1ray.config.specs import GroupWorkerSpec
from r1ray.errors import PromptTooLong
from r1ray.interfaces import Lent
from r1ray.rollout.engine import Generated, TrajectoryRequest, one_segment
from r1ray.telemetry.learned import Learned
from r1ray.types import EngineTimes, Prompt, Scored, ScoredTrajectory, Shard, StepStats, Trajectory, VersionSpan


class Engine:
    """Answers at once; of a group named ``slow...``, every second pair of trajectories once they are let go.
    Cannot take a group named ``long...``."""

    def __init__(self, num_tokens: int) -> None:
        self._num_tokens = num_tokens
        self._asked: Counter[str] = Counter()
        self._go, self._aborted = asyncio.Event(), Counter[str]()
        self._news = asyncio.Condition()

    async def ready(self) -> int:
        return 1

    async def until_dead(self) -> None:
        await asyncio.Event().wait()

    async def ping(self) -> None: ...

    async def times(self) -> EngineTimes:
        return EngineTimes(1.0, 2.0, 3.0, 0.0)

    async def generate(self, request: TrajectoryRequest) -> Generated:
        self._asked[request.id] += 1
        if request.group_id.startswith("long"):
            raise PromptTooLong("planted: 4096 tokens")
        trajectory = _trajectory(request, self._num_tokens)
        if request.group_id.startswith("slow") and is_slow(request.index):
            async with self._news:
                await self._news.wait_for(lambda: self._go.is_set() or request.id in self._aborted)
            if request.id in self._aborted:
                trajectory = replace(_trajectory(request, 2), status="aborted")
        return Generated(trajectory, 0)

    async def abort(self, ids: Sequence[str]) -> None:
        self._aborted.update(ids)
        async with self._news:
            self._news.notify_all()

    async def let_go(self) -> None:
        self._go.set()
        async with self._news:
            self._news.notify_all()

    async def asked(self) -> dict[str, int]:
        """Return how often each trajectory was asked for."""
        return dict(self._asked)


class Rewards:
    """Scores at once; the first that is to score a group named ``hang...`` blocks for ever."""

    def __init__(self, folder: str) -> None:
        self._folder = Path(folder)

    async def score(self, prompt: Prompt, trajectory: Trajectory) -> ScoredTrajectory:
        name = trajectory.group_id
        if name.startswith("hang") and not (mark := self._folder / name).exists():
            mark.touch()
            time.sleep(600)
        value = float(trajectory.index % 2)
        parts = {"accuracy": value, "format": 1.0, "language": 0.97}
        return ScoredTrajectory.of(trajectory, Scored(value, parts, label="correct"), extracted=r"\frac{1}{2}")

    async def classes(self, prompt: Prompt, answers: Sequence[str | None]) -> tuple[int | None, ...] | None:
        return tuple(None if each is None else 0 for each in answers)


class Reader:
    """Reads as a learner rank does."""

    def read(self, lent: Lent) -> dict[str, int]:
        return {name: each.num_policy_tokens for name, each in lent.read().items()}


class Rank:
    """A learner rank that only reads, and says what it was given, in order."""

    def __init__(self) -> None:
        self._rows: dict[str, Trajectory] = {}
        self._calls: list[str] = []

    def fetch(self, lent: Lent, names: Sequence[str]) -> list[str]:
        self._rows = dict(lent.read())
        self._calls.append("fetch")
        return [name for name in names if name not in self._rows]

    def train(self, shard: Shard, has_more: bool = False) -> StepStats:
        self._calls.append("train in part" if has_more else "train")
        return StepStats({"rows": float(len(self._rows))}, trained_tokens=0, padding_tokens=0)

    def calls(self) -> list[str]:
        return self._calls


class StopsAtStart(GroupHost):
    """A group worker that is stopped while it is started for the second time."""

    def __init__(self, folder: str, spec: GroupWorkerSpec) -> None:
        starts = Path(folder) / "starts"
        before = starts.read_text() if starts.exists() else ""
        starts.write_text(before + f"{os.getpid()}\n")
        if before.count("\n") == 1:
            os.kill(os.getpid(), signal.SIGSTOP)
        super().__init__([], spec)


def is_slow(index: int) -> bool:
    return index % 4 >= 2


def pid_of(hosted: Any) -> int:
    return os.getpid()


def _trajectory(request: TrajectoryRequest, num_tokens: int) -> Trajectory:
    return one_segment(
        group_id=request.group_id,
        index=request.index,
        prompt_token_ids=np.arange(16, dtype=np.int32),
        token_ids=np.arange(num_tokens, dtype=np.int32),
        logprobs=np.zeros(num_tokens, dtype=np.float32),
        versions=(VersionSpan(0, 0, num_tokens),),
        text="x" * num_tokens,
    )


class Finder:
    """A learner rank as the rollout log sees it: it found the log-probability of one trajectory."""

    def __init__(self, index: int) -> None:
        self._index = index

    def learned(self) -> dict[str, Learned]:
        return {f"0/0#{self._index}": Learned(np.array([-1.0 - self._index], dtype=np.float32), num_updates=0)}
