"""The verified publish, with real engines and a real learner: a stale tensor never serves."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
from collections.abc import Coroutine, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import ray
import torch
from ray.exceptions import RayTaskError

from r1ray.algo.batching import plan_shards
from r1ray.cluster.engines import EngineActors
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
from r1ray.errors import ParityError, WeightSyncError
from r1ray.types import Float32Array, GroupRequest, PublishStats, SampleRef, Sampling, ScoredGroup, Shard, trajectory_id
from r1ray.weights.buckets import TensorMeta
from r1ray.weights.snapshot import SnapshotPlace, read_header
from r1ray.weights.snapshot_file import SnapshotWriter
from r1ray.weights.stream import metadata_with_fingerprints, with_fingerprints
from r1ray.weights.vllm_model import NOTHING_ARRIVED
from tests.cluster.hosted import pid_of
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
            settings,
            model=str(settings.model),
            rollouts=folder / "rollouts",
            probe=[PROBE],
            programs=frozenset(),
            worlds={},
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

    def wait_until_replaced(self, engine: Any) -> None:
        """Wait for another engine in the place of one that is lost."""

        async def wait() -> None:
            async with asyncio.timeout(120):
                while self.pool.engines[0] is engine:
                    await asyncio.sleep(0.1)

        self._runner.run(wait())

    def plant(self, fault: str) -> None:
        async def plant() -> None:
            await self.pool.engines[0].actor.call_workers.remote(fault, "lm_head.weight")

        self._runner.run(plant())

    def logprobs(self) -> Float32Array:
        """Of the probe, by the engine."""

        async def ask() -> Float32Array:
            found: Float32Array = await self.pool.engines[0].actor.logprobs.remote([PROBE])
            return found

        return self._runner.run(ask())

    def difference(self) -> float:
        """Largest difference between the engine and the learner on the probe."""
        learners = self._runner.run(self.running.roles.learner.logprobs([PROBE]))
        return float(np.abs(self.logprobs() - learners).max())


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


async def generated(system: Running, version: int) -> tuple[ScoredGroup, list[Shard]]:
    """Generate a group, and reward its trajectories by hand."""
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
    return group, list(shards)


async def one_step(system: Running, version: int) -> None:
    """Train on a group: the parameters move."""
    group, shards = await generated(system, version)
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


@pytest.mark.long
def test_a_killed_engine_comes_back_from_the_snapshot_while_the_learner_trains(system: System) -> None:
    system.publish()
    before, version = system.logprobs(), system.version
    assert read_header(system.weights._snapshot.of(version).path).version == version

    async def kill_and_train() -> int:
        engine, num_updates = system.pool.engines[0], 0
        group, shards = await generated(system.running, version)
        os.kill(await engine.actor.actor.__ray_call__.remote(pid_of), signal.SIGKILL)
        async with asyncio.timeout(120):
            while system.pool.engines[0].state != "serving" or system.pool.engines[0] is engine:
                await system.running.roles.learner.train(shards, [group])
                num_updates += 1
        return num_updates

    num_updates = system.run(kill_and_train())
    assert num_updates > 10, "the learner went on meanwhile"
    assert system.pool.engines[0].version == version
    assert np.array_equal(system.logprobs(), before), "it serves the version that was published, and not the learner's"
    assert system.difference() > 1e-4
    assert system.publish_again().num_engines == 0, "it is not sent what it holds"
    assert system.publish().num_resent == 0 and system.difference() < 1e-4
    system.step()


NO_TENSORS: dict[str, Any] = {"names": [], "dtype_names": [], "shapes": []}


def test_an_update_that_broke_before_its_first_tensor_is_closed_with_the_old_weights(system: System) -> None:
    before, engine = system.logprobs(), system.pool.engines[0].actor

    async def scenario() -> None:
        await engine.shutdown_weight_transfer_engine.remote()
        await engine.pause.remote(99)
        await engine.start_weight_update.remote()
        with pytest.raises(RayTaskError, match=NOTHING_ARRIVED):
            await engine.update_weights.remote(NO_TENSORS)
        with pytest.raises(WeightSyncError, match="whose weight update is untouched cannot serve"):
            await engine.resume.remote()
        assert await engine.settle.remote() == system.version
        await engine.resume.remote()

    system.run(scenario())
    assert np.array_equal(system.logprobs(), before)
    system.weights._group = []


def test_a_damaged_snapshot_is_refused_before_the_engine_pauses(system: System, tmp_path: Path) -> None:
    system.publish()  # of which there is a snapshot, whichever test came before
    before, engine = system.logprobs(), system.pool.engines[0].actor
    place = system.weights._snapshot.of(system.version)
    damaged = SnapshotPlace(str(tmp_path / "damaged"), place.version)
    shutil.copyfile(place.path, damaged.path)
    with open(damaged.path, "r+b") as file:
        file.seek(read_header(damaged.path).tensors[3][1])
        file.write(b"\x55")

    async def scenario() -> None:
        with pytest.raises(RayTaskError, match="1 tensors arrived damaged"):
            await engine.load_snapshot.remote(damaged)

    system.run(scenario())
    assert np.array_equal(system.logprobs(), before), "it goes on with what it holds"
    assert system.publish().num_resent == 0
    assert system.difference() < 1e-4
    system.step()


def test_an_engine_with_a_broken_update_does_not_serve_and_the_next_round_mends_it(
    system: System, tmp_path: Path
) -> None:
    """A snapshot of another model, as it was written: something has been taken when it is found out."""
    engine, place = system.pool.engines[0].actor, SnapshotPlace(str(tmp_path / "other"), system.version)
    Path(place.path).touch()
    metas = metadata_with_fingerprints([TensorMeta("no.such.weight", "float32", (3,))])
    for _ in SnapshotWriter().keep(with_fingerprints([("no.such.weight", torch.ones(3))]), metas, place):
        pass

    async def scenario() -> None:
        with pytest.raises(RayTaskError, match="no module or parameter"):
            await engine.load_snapshot.remote(place)
        with pytest.raises(WeightSyncError, match="whose weight update is broken cannot serve"):
            await engine.resume.remote()
        assert await engine.settle.remote() is None
        system.pool.engines[0].version = system.pool.engines[0].received = None

    system.run(scenario())
    assert system.publish().num_resent == 0
    assert system.difference() < 1e-4
    system.step()


def test_a_run_whose_every_engine_stays_wrong_stops_and_says_so(
    system: System, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The engines have the right numbers in the wrong places, which the probe alone finds."""
    actors = system.pool._actors

    def spawn_planted(name: str) -> Any:
        engine = actors.spawn(name)
        engine.call_workers.remote("plant_moved", "lm_head.weight")
        return engine

    monkeypatch.setattr(system.pool, "_actors", EngineActors(spawn_planted, actors.end))
    monkeypatch.setattr(system.weights._config, "probe_every", 1)
    system.plant("plant_moved")
    with pytest.raises(ParityError, match=r"rollout 0 differs from the learner by .* of the parity probe"):
        system.publish()
