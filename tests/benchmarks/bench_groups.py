"""What a trajectory costs the driver and its group worker, on real Ray: from issue to batch, everything told.

    python -m tests.benchmarks.bench_groups [--groups 64,1024,4096] [--steps 1] [--profile]

The loop's own controller runs steps of so many groups (G = 8) over a group worker, an engine, a reward actor, a
learner rank and a rollout log, each an actor; engine and reward answer at once, rank and log only read. Printed are
process times (all threads) by trajectory, after a warm-up step; the driver's memory with trajectories of 64 and of
20,000 tokens; the same in one process over 1,000 engines; and last the ratio of the largest to the smallest number of
groups. On two cores that had other work (load 8 to 12), milliseconds of CPU by trajectory:

    64 groups a step       driver 0.14   worker 1.19      in the driver's process, both: 1.12
    1,024 groups a step    driver 0.13   worker 1.44
    driver's memory        grows by 0.1 MiB in 8 steps, with 64 as with 20,000 tokens a trajectory
    one process            0.05 over 10 engines, 0.06 over 100, 0.08 over 1,000
"""

from __future__ import annotations

import argparse
import asyncio
import cProfile
import os
import pstats
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import ray

from r1ray.checks import MathAnswer
from r1ray.cluster.engine import RemoteEngine
from r1ray.cluster.group_host import GroupHost
from r1ray.cluster.group_workers import GroupWorkers
from r1ray.cluster.host import Handle, host, import_path
from r1ray.cluster.learners import LearnerGroup
from r1ray.cluster.rank_host import rank_host
from r1ray.cluster.recorder import RecorderProxy
from r1ray.cluster.scorers import RewardWorkers
from r1ray.config import AlgoConfig, CheckpointConfig, DataConfig, EvalConfig, LearnerConfig, RewardConfig, RunConfig
from r1ray.config.specs import GroupWorkerSpec
from r1ray.data.position import Position
from r1ray.interfaces import Lent
from r1ray.loop.checkpoint import Checkpoints
from r1ray.loop.controller import Controller
from r1ray.loop.roles import Roles
from r1ray.rollout.engine import Generated, TrajectoryRequest, one_segment
from r1ray.rollout.group_worker import GroupWorker
from r1ray.rollout.placement import EngineState
from r1ray.types import (
    EngineTimes,
    GroupRecord,
    GroupRequest,
    Prompt,
    PublishStats,
    Sampling,
    Scored,
    ScoredGroup,
    ScoredTrajectory,
    Shard,
    StepStats,
    Trajectory,
    VersionSpan,
)

HERE = "tests.benchmarks.bench_groups"  # as an actor finds it; run as a command this module is __main__
GROUP_SIZE = 8
SPEC = GroupWorkerSpec(number=0, generate_s=600.0, score_s=600.0, scores_in_flight=10_000)


class Engine:
    """Answers at once, with as many tokens as it was told."""

    def __init__(self, num_tokens: int) -> None:
        self._num_tokens = num_tokens

    async def generate(self, request: TrajectoryRequest) -> Generated:
        n = self._num_tokens
        trajectory = one_segment(
            group_id=request.group_id,
            index=request.index,
            prompt_token_ids=np.arange(256, dtype=np.int32),
            token_ids=np.arange(n, dtype=np.int32),
            logprobs=np.zeros(n, dtype=np.float32),
            versions=(VersionSpan(0, 0, n),),
            text="x",
            status="finished",
        )
        return Generated(trajectory, 0)

    async def abort(self, ids: Sequence[str]) -> None: ...

    async def times(self) -> EngineTimes:
        return EngineTimes(0.0, 0.0, 0.0, 0.0)


class Rewards:
    """Scores at once."""

    async def score(self, prompt: Prompt, trajectory: Trajectory) -> ScoredTrajectory:
        value = float(trajectory.index % 2)
        return ScoredTrajectory.of(trajectory, Scored(value, {"accuracy": value, "format": 1.0}), extracted="4")

    async def classes(self, prompt: Prompt, answers: Sequence[str | None]) -> None:
        return None


class Prompts:
    """Endless."""

    position = Position()

    def take(self) -> tuple[Position, Prompt]:
        position, self.position = self.position, Position(0, self.position.index + 1)
        return position, self.at(position)

    def observe(self, position: Position, group: ScoredGroup) -> None:
        return

    def state(self, oldest: Position) -> dict[str, Any]:
        return {}

    def load(self, state: Mapping[str, Any]) -> None:
        return

    def metrics(self) -> dict[str, float]:
        return {}

    def at(self, position: Position) -> Prompt:
        name = str(position.index)
        return Prompt(id=name, text="x" * 1000, check=MathAnswer("4"), domain="math", language="en")


class Rank:
    """Reads a step's trajectories, and learns nothing, in no time."""

    def fetch(self, lent: Lent, names: Sequence[str]) -> list[str]:
        found = lent.read()
        return [name for name in names if name not in found]

    def train(self, shard: Shard, has_more: bool = False) -> StepStats:
        return StepStats({"loss/policy": 0.0}, trained_tokens=1, padding_tokens=0)


class Log:
    """Reads a step's trajectories, as the rollout log does, and writes nothing."""

    def write(
        self, step: int, records: Sequence[GroupRecord], lent: Lent, name: str = "step", *, again: bool = False
    ) -> Path:
        lent.read()
        return Path(name)


@dataclass
class Weights:
    """Publishes nothing; notes when it is asked to: a step ends with it."""

    note: Callable[[], None]

    async def publish(self, version: int, *, eval_engines: bool = False, probe: bool = False) -> PublishStats:
        self.note()
        return PublishStats(version, 0.0, 0, 1, 0, None)

    async def rest(self) -> None: ...

    async def go_on(self, version: int) -> None: ...

    def when_behind(self, callback: Any) -> None: ...

    def when_eval_lost(self, callback: Any) -> None: ...


@dataclass(frozen=True)
class Cost:
    """CPU of one trajectory."""

    driver_ms: float
    worker_ms: float
    grown_mib: float
    """Of the driver's resident memory, over all steps after the first."""


async def never(*arguments: Any) -> Any:
    raise AssertionError("no learner is lost here")


def cpu_s(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)


async def measured(num_groups: int, *, steps: int, num_tokens: int, is_local: bool = False) -> Cost:
    """Run the loop for a warm-up step and ``steps`` more."""
    env = {"runtime_env": {"env_vars": import_path() | {"OMP_NUM_THREADS": "1"}}, "num_cpus": 0}
    engine = host(f"{HERE}:Engine", num_tokens, is_async=True, **env)
    scorers = [host(f"{HERE}:Rewards", is_async=True, **env)]
    rank, rollout_log = host(f"{HERE}:Rank", **env), rank_host(f"{HERE}:Log", **env)
    worker: GroupHost | Handle
    if is_local:
        worker, pid = GroupHost(scorers, SPEC), os.getpid()
    else:
        worker = host("r1ray.cluster.group_host:GroupHost", scorers, SPEC, is_async=True, **env)
        pid = await worker.actor.__ray_call__.remote(lambda hosted: os.getpid())
    groups = GroupWorkers([worker], RewardWorkers(scorers, lambda index: scorers[index]), deadline_s=600.0)
    states = [EngineState("engine", 0, RemoteEngine("engine", engine), 256, "serving")]
    await groups.set_engines(states)
    process, me = psutil.Process(pid), psutil.Process()
    marks: list[tuple[float, float, int]] = []

    def note() -> None:
        marks.append((time.process_time(), cpu_s(process), me.memory_info().rss))

    with tempfile.TemporaryDirectory() as folder:
        config = RunConfig(
            model="m",
            steps=1 + steps,
            reward=RewardConfig(parts={"accuracy": {}}),
            data=DataConfig(train="t"),
            eval=EvalConfig(every=0),
            checkpoint=CheckpointConfig(every=0),
            learner=LearnerConfig(max_tokens_per_microbatch=32_768),
            algo=AlgoConfig(group_size=GROUP_SIZE, prompts_per_step=num_groups, minibatches_per_step=16),
        )
        roles = Roles(
            groups,
            LearnerGroup([rank], "127.0.0.1", groups, start=never, kill=never),
            Weights(note),
            RecorderProxy(lambda: rollout_log, groups, deadline_s=600.0),
            groups,
        )  # type: ignore[arg-type]
        controller = Controller(
            config, roles, Prompts(), checkpoints=Checkpoints(Path(folder), keep=1), log=lambda line: None
        )
        await controller.run()
    groups.close()
    for each in (engine, rank, rollout_log, *scorers, *([worker] if isinstance(worker, Handle) else [])):
        each.kill()
    first, last = marks[1], marks[-1]  # version 0 comes before
    count = num_groups * GROUP_SIZE * steps
    return Cost(1000 * (last[0] - first[0]) / count, 1000 * (last[1] - first[1]) / count, (last[2] - first[2]) / 2**20)


async def simulated(num_groups: int, num_engines: int) -> float:
    """Return the CPU of a trajectory in ms, worker and engines in this process."""
    worker = GroupWorker(Rewards(), deadline_s=600.0)
    engines = [EngineState(f"engine {i}", 0, Engine(64), 8, "serving") for i in range(num_engines)]
    await worker.set_engines(engines)
    prompts = Prompts()
    start = time.process_time()
    requests = [
        GroupRequest(
            group_id=f"0/{i}",
            prompt=prompts.take()[1],
            group_size=GROUP_SIZE,
            sampling=Sampling(1.0, 1.0, 64),
            seed=0,
        )
        for i in range(num_groups)
    ]
    await asyncio.gather(*map(worker.run, requests))
    return 1000 * (time.process_time() - start) / (num_groups * GROUP_SIZE)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--groups", default="64,1024,4096")
    parser.add_argument("--steps", type=int, default=1)
    parser.add_argument("--profile", action="store_true", help="print where the driver's time goes")
    arguments = parser.parse_args()
    for count in (10, 100, 1000):
        print(f"one process, {count} engines, 2,048 groups: {asyncio.run(simulated(2048, count)):.3f} ms a trajectory")
    ray.init(address="local", num_cpus=2, include_dashboard=False, log_to_driver=False, logging_level="ERROR")
    costs = {}
    profile = cProfile.Profile()
    if arguments.profile:
        profile.enable()
    for num_groups in map(int, arguments.groups.split(",")):
        cost = costs[num_groups] = asyncio.run(measured(num_groups, steps=arguments.steps, num_tokens=64))
        metrics = f"driver {cost.driver_ms:.3f} ms a trajectory, worker {cost.worker_ms:.3f} ms"
        print(f"{num_groups} groups a step: {metrics}", flush=True)
    if arguments.profile:
        profile.disable()
        pstats.Stats(profile).sort_stats("tottime").print_stats(40)
    local = asyncio.run(measured(64, steps=arguments.steps, num_tokens=64, is_local=True))
    print(f"worker in the driver's process, 64 groups: {local.driver_ms:.3f} ms a trajectory")
    for num_tokens in (64, 20_000):
        cost = asyncio.run(measured(32, steps=8, num_tokens=num_tokens))
        print(f"{num_tokens} tokens a trajectory: the driver's memory grows by {cost.grown_mib:.1f} MiB in 8 steps")
    fewest, most = min(costs), max(costs)
    ratio = costs[most].driver_ms / costs[fewest].driver_ms
    print(f"driver, {most} groups over {fewest}: {ratio:.2f}")


if __name__ == "__main__":
    main()
