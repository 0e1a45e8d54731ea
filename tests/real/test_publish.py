"""The verified publish, with real engines and a real learner: a stale tensor never serves."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import ray

from r1ray.algo.batching import plan_shards
from r1ray.cluster.launch import Running, launch
from r1ray.config import (
    AlgoConfig,
    DataConfig,
    LearnerConfig,
    RewardConfig,
    RolloutConfig,
    RunConfig,
    WeightsConfig,
)
from r1ray.errors import ParityError
from r1ray.types import GroupRequest, PublishStats, SampleRef, Sampling, trajectory_id
from tests.fakes import make_prompt

pytestmark = [pytest.mark.real, pytest.mark.faults]
PROBE = np.arange(3, 35, dtype=np.int32)


def config(model: Path, *, probe_every: int = 1000) -> RunConfig:
    return RunConfig(
        reward=RewardConfig(parts={"accuracy": {}}),
        model=str(model),
        data=DataConfig(train="unused", template="none", max_prompt_tokens=32),
        algo=AlgoConfig(
            group_size=4, prompts_per_step=2, minibatches_per_step=1, max_completion_tokens=32, kl_coefficient=0.0
        ),
        rollout=RolloutConfig(
            dtype="float32",
            max_num_seqs=32,
            engine_args={"worker_extension_cls": "tests.real.extensions.Planted"},
        ),
        learner=LearnerConfig(dtype="float32", lr=0.05, zero_stage=1, max_tokens_per_microbatch=256),
        weights=WeightsConfig(probe_every=probe_every),
    )


class System:
    """Running roles, the event loop that they live on, and the version that is live."""

    def __init__(self, settings: RunConfig, folder: Path, runner: asyncio.Runner) -> None:
        self._runner = runner
        launching = launch(
            settings, model=str(settings.model), rollouts=folder / "rollouts", probe=[PROBE], programs=frozenset()
        )
        self.running: Running = runner.run(launching)
        self.weights: Any = self.running.roles.weights
        self.pool: Any = self.weights._pool
        self.version = -1

    def publish(self) -> PublishStats:
        self.version += 1
        stats: PublishStats = self._runner.run(self.weights.publish(self.version))
        return stats

    def publish_again(self) -> PublishStats:
        self.version -= 1
        return self.publish()

    def run(self, work: Coroutine[Any, Any, Any]) -> Any:
        return self._runner.run(work)

    def step(self) -> None:
        self._runner.run(one_step(self.running, self.version))

    def wait_until_lost(self) -> None:
        """Return once the pool knows that its engine is lost."""

        async def wait() -> None:
            async with asyncio.timeout(60):
                while not self.pool.engines[0].is_lost:
                    await asyncio.sleep(0.1)

        self.run(wait())

    def plant(self, fault: str) -> None:
        async def plant() -> None:
            await self.pool.engines[0].actor.call_workers.remote(fault, "lm_head.weight")

        self._runner.run(plant())

    def difference(self) -> float:
        """Largest difference between the engine and the learner on the probe."""

        async def compare() -> float:
            engine = self.pool.engines[0].actor.logprobs.remote([PROBE])
            return float(np.abs(await engine - await self.running.roles.learner.logprobs([PROBE])).max())

        return self._runner.run(compare())


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory, qwen_folder: Path) -> Iterator[System]:
    """One learner rank and one engine for the tests of this file; each leaves them working, but the last."""
    ray.init(address="local", num_cpus=2, include_dashboard=False, log_to_driver=False, logging_level="ERROR")
    try:
        with asyncio.Runner() as runner:
            made = System(config(qwen_folder), tmp_path_factory.mktemp("system"), runner)
            yield made
            made.running.shutdown()
    finally:
        ray.shutdown()


async def one_step(system: Running, version: int) -> None:
    """Generate a group, reward its completions by hand, train: the parameters move."""
    request = GroupRequest(
        group_id=f"0/{version}",
        prompt=make_prompt(),
        group_size=4,
        sampling=Sampling(1.0, 1.0, 16),
        seed=version,
    )
    group = await system.roles.groups.run(request)
    rows = group.trajectories
    assert {(row.oldest_version, row.newest_version) for row in rows} == {(version, version)}
    shards = plan_shards(
        [
            [
                SampleRef(trajectory_id(group.group_id, row.index), float(i - 1.5), row.num_row_tokens)
                for i, row in enumerate(rows)
            ]
        ],
        [[row.num_policy_tokens for row in rows]],
        num_minibatches=1,
        num_ranks=1,
        max_tokens_per_microbatch=256,
        learner_version=version,
        seed=0,
    )
    stats = await system.roles.learner.train(shards, [group])
    await system.roles.groups.drop([group])
    assert stats.metrics["grad_norm"] > 0


def test_the_first_publish_is_probed_and_agrees(system: System) -> None:
    published = system.publish()
    assert (published.version, published.num_resent, published.num_engines) == (0, 0, 1)
    assert published.probe_max_diff is not None and published.probe_max_diff < 1e-4
    assert published.probe_mean_diff is not None and published.probe_mean_diff <= published.probe_max_diff
    assert 0 < published.probe_s < published.seconds
    system.step()


def test_an_engine_that_keeps_a_stale_tensor_is_sent_to_again_and_then_replaced(system: System) -> None:
    """No probe is due: every tensor arrived intact, and what the engine holds says that it is wrong all the same."""
    before = system.pool.engines[0]
    system.plant("plant_stale")
    published = system.publish()
    assert (published.num_resent, published.probe_max_diff is None) == (2, False), "what was sent again is probed"
    assert system.pool.engines[0] is not before, "the run goes on with another engine"
    assert system.difference() < 1e-4
    system.step()


def test_a_killed_engine_is_replaced_and_serves_the_version_that_it_lost(system: System) -> None:
    system.publish()
    system.pool.engines[0].actor.kill()
    system.wait_until_lost()
    assert system.publish_again().num_resent == 0
    assert system.difference() < 1e-4
    system.step()


def test_a_run_whose_every_engine_stays_wrong_stops_and_says_so(
    system: System, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The engines have the right numbers in the wrong places, which the probe alone finds."""
    spawn = system.pool._spawn

    def spawn_planted(name: str) -> Any:
        engine = spawn(name)
        engine.call_workers.remote("plant_moved", "lm_head.weight")
        return engine

    monkeypatch.setattr(system.pool, "_spawn", spawn_planted)
    monkeypatch.setattr(system.weights._config, "probe_every", 1)
    system.plant("plant_moved")
    with pytest.raises(ParityError, match=r"rollout 0 differs from the learner by .* of the parity probe"):
        system.publish()
