"""From a configuration to running roles, in the order in which they depend on each other."""

from __future__ import annotations

import asyncio
import os
import socket
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ray
from ray.exceptions import RayActorError
from ray.util.placement_group import PlacementGroup, remove_placement_group
from ray.util.scheduling_strategies import PlacementGroupSchedulingStrategy

from r1ray.cluster.host import Handle, host
from r1ray.cluster.placement import Needs, check_fits, connect, reserve
from r1ray.cluster.pools import Engine, LearnerGroup, RecorderProxy, RolloutPool, ScorerPool
from r1ray.cluster.publish import RayWeightSync
from r1ray.config import RunConfig
from r1ray.controller import Roles
from r1ray.deadline import within
from r1ray.errors import InfrastructureError, SandboxUnavailable, UserError
from r1ray.specs import EngineSpec, LearnerSpec, RankSpec
from r1ray.types import Int32Array

GRPO = "r1ray.learner.grpo:GRPOLearner"
STREAMS = 4096
"""Calls that a rollout or reward actor takes at a time; the engines do their own queueing."""


@dataclass(frozen=True, slots=True)
class Running:
    """The roles of a run, and everything that has to be ended with it."""

    roles: Roles[Any]
    learner: LearnerGroup
    pool: RolloutPool
    scorers: ScorerPool
    actors: tuple[Handle, ...]
    placement: PlacementGroup

    def shutdown(self) -> None:
        replacements = (*(engine.actor for engine in self.pool.engines), *self.scorers.actors)
        for actor in (*self.actors, *replacements):
            actor.kill()
        remove_placement_group(self.placement)


async def launch(
    config: RunConfig, *, model: str, rollouts: Path, probe_ids: Int32Array, programs: frozenset[str]
) -> Running:
    """Start every actor of the run and wait until all of them answer.

    Args:
        model: folder or hub name that learner and engines load.
        rollouts: folder of the rollout log.
        probe_ids: [T] int32, the fixed sequence of the parity probe.
        programs: languages in which the prompts ask for programs; with any, reward actors have a sandbox.

    Raises UserError where the cluster is too small, and what any actor raised at its start.
    """
    cpus, gpus = connect(config.cluster.address)
    need = check_fits(config, cpus=cpus, gpus=gpus)
    placement = reserve(need, timeout_s=min(60.0, config.deadlines.start_s))
    spawner = _Spawner(config, need, placement, model, programs)
    started: list[Handle] = []
    try:
        address, port = await _place_of_rank_0(spawner, config)
        ranks = spawner.learners(address, port, GRPO, config.algo, num_updates=config.num_updates)
        started += ranks
        started += (actors := [spawner.rollout(index) for index in range(config.rollout.num_actors)])
        started += (scorers := [spawner.reward(index) for index in range(config.reward.num_actors)])
        started.append(recorder := spawner.recorder(rollouts))
        workers = await within(
            config.deadlines.start_s,
            _all_ready(ranks, actors, scorers),
            waiter="the run",
            owner="the actors to start",
            key="deadlines.start_s",
        )
        engines = [Engine(f"rollout {i}", actor, n) for i, (actor, n) in enumerate(zip(actors, workers, strict=True))]
        pool = RolloutPool(engines, lambda name: spawner.rollout(int(name.split()[1])))
        learner = LearnerGroup(ranks)
        weights = RayWeightSync(
            config.weights,
            pool,
            learner,
            backend=weight_backend(config, need),
            address=address,
            probe_ids=probe_ids,
            deadlines=config.deadlines,
            free_port=lambda: _second(spawner.on_bundle(0, _address_and_port)),
        )
    except BaseException:
        for actor in started:
            actor.kill()
        remove_placement_group(placement)
        raise
    scorer_pool = ScorerPool(
        scorers, spawner.reward, deadline_s=config.deadlines.score_s, max_in_flight=config.reward.max_in_flight
    )
    roles = Roles(
        rollout=pool,
        scorer=scorer_pool,
        learner=learner,
        weights=weights,
        recorder=RecorderProxy(recorder, deadline_s=config.deadlines.checkpoint_s),
    )
    return Running(roles, learner, pool, scorer_pool, tuple(started), placement)


@dataclass(frozen=True, slots=True)
class RunningLearner:
    """A learner group by itself, and what has to be ended with it."""

    learner: LearnerGroup
    placement: PlacementGroup

    def shutdown(self) -> None:
        for rank in self.learner.ranks:
            rank.kill()
        remove_placement_group(self.placement)


async def launch_learner(config: RunConfig, *, model: str, learner: str, num_updates: int) -> RunningLearner:
    """Start the ranks of a learner, without engines or reward actors, and wait until all of them answer.

    Args:
        model: folder or hub name that the ranks load.
        learner: ``package.module:Class``, built with ``config.learner`` and the two specs.
        num_updates: optimizer updates, for the learning-rate schedule.

    Raises UserError where the cluster is too small, and what any rank raised at its start.
    """
    cpus, gpus = connect(config.cluster.address)
    need = check_fits(config, cpus=cpus, gpus=gpus, only_learner=True)
    placement = reserve(need, timeout_s=min(60.0, config.deadlines.start_s))
    spawner = _Spawner(config, need, placement, model, frozenset())
    ranks: list[Handle] = []
    try:
        address, port = await _place_of_rank_0(spawner, config)
        ranks += spawner.learners(address, port, learner, num_updates=num_updates)
        await within(
            config.deadlines.start_s,
            _all_ready(ranks, [], []),
            waiter="the run",
            owner="the learner ranks to start",
            key="deadlines.start_s",
        )
    except BaseException:
        for rank in ranks:
            rank.kill()
        remove_placement_group(placement)
        raise
    return RunningLearner(LearnerGroup(ranks), placement)


def weight_backend(config: RunConfig, need: Needs) -> str:
    """Name of the weight-transfer engine. Raises UserError where NCCL is asked for without GPUs."""
    backend = config.weights.backend
    if backend == "auto":
        backend = "nccl" if need.rollout_gpus and need.learner_gpus else "gloo"
    if backend == "nccl" and not (need.rollout_gpus and need.learner_gpus):
        raise UserError("weights.backend=nccl needs GPUs in learner and rollout actors; use gloo, or auto.")
    return f"r1ray_{backend}"


async def _all_ready(ranks: list[Handle], actors: list[Handle], scorers: list[Handle]) -> list[int]:
    """Wait for every constructor; returns the number of vLLM workers of each rollout actor. A user's mistake that
    only an actor could find is a UserError here too."""
    alive = [actor.alive() for actor in (*ranks, *scorers)]
    try:
        workers, *_ = await asyncio.gather(asyncio.gather(*(actor.ready.remote() for actor in actors)), *alive)
    except RayActorError as error:
        reason = str(error).strip().splitlines()[-1]
        for mistake in (UserError, SandboxUnavailable):
            name = f"r1ray.errors.{mistake.__name__}: "
            if reason.startswith(name):
                raise mistake(reason.removeprefix(name)) from error
        raise InfrastructureError(f"an actor could not start: {error}") from error
    return list(workers)


async def _place_of_rank_0(spawner: _Spawner, config: RunConfig) -> tuple[str, int]:
    """Address and a free port of the node of learner rank 0."""
    place: tuple[str, int] = await within(
        config.deadlines.start_s,
        spawner.on_bundle(0, _address_and_port),
        waiter="the run",
        owner="the node of learner rank 0",
        key="deadlines.start_s",
    )
    return place


async def _second(pair: Any) -> int:
    return int((await pair)[1])


def _address_and_port() -> tuple[str, int]:
    with socket.socket() as probe:
        probe.bind(("", 0))
        return ray.util.get_node_ip_address(), int(probe.getsockname()[1])


class _Spawner:
    """Makes Ray actors of plain classes: resources, place and environment of each kind."""

    def __init__(
        self, config: RunConfig, need: Needs, placement: PlacementGroup, model: str, programs: frozenset[str]
    ) -> None:
        self._config, self._need, self._placement, self._model = config, need, placement, model
        self._programs = programs
        self._common = {
            # Where the command was given, for a user's own reward functions.
            "PYTHONPATH": os.pathsep.join(filter(None, [os.getcwd(), os.environ.get("PYTHONPATH")])),
            "TOKENIZERS_PARALLELISM": "false",
            "DO_NOT_TRACK": "1",
            "VLLM_NO_USAGE_STATS": "1",
            **({"HF_HUB_OFFLINE": "1"} if Path(model).is_dir() else {}),
        }

    def _options(self, bundle: int | None, *, cpus: float, gpus: int = 0, env: dict[str, str]) -> dict[str, Any]:
        options: dict[str, Any] = {
            "num_cpus": cpus,
            "num_gpus": gpus,
            "runtime_env": {"env_vars": self._common | env},
        }
        if bundle is not None:
            options["scheduling_strategy"] = PlacementGroupSchedulingStrategy(
                self._placement, placement_group_bundle_index=bundle
            )
        return options

    async def on_bundle(self, bundle: int, function: Any) -> Any:
        """Call ``function`` on the node of a bundle."""
        options = self._options(bundle, cpus=0, env={})
        return await ray.remote(**options)(function).remote()

    def learners(self, address: str, port: int, learner: str, *arguments: Any, num_updates: int) -> list[Handle]:
        """All ranks of a learner group."""
        config, gpus = self._config.learner, self._need.learner_gpus
        env = {"OMP_NUM_THREADS": str(config.threads), "DS_ACCELERATOR": "cuda" if gpus else "cpu"}
        return [
            host(
                learner,
                config,
                *arguments,
                LearnerSpec(self._model, self._config.seed, num_updates),
                RankSpec(rank, config.num_ranks, address, port, gpus, self._config.deadlines.learn_s),
                **self._options(rank, cpus=config.cpus_per_rank, gpus=gpus, env=env),
            )
            for rank in range(config.num_ranks)
        ]

    def rollout(self, index: int) -> Handle:
        config, gpus = self._config.rollout, self._need.rollout_gpus
        env = {"VLLM_LOGGING_LEVEL": "WARNING"}
        if not gpus:
            env |= {
                "OMP_NUM_THREADS": str(config.threads),
                "VLLM_CPU_KVCACHE_SPACE": str(config.cpu_kv_cache_gib),
                "VLLM_CPU_OMP_THREADS_BIND": "nobind",  # the default pins every engine of a node to the same cores
                # The engine core (a process of its own all the same) then computes itself. Else vLLM puts a worker
                # process under it on CPUs, and both wait for each other by spinning on a core each.
                "VLLM_ENABLE_V1_MULTIPROCESSING": "0",
            }
        spec = EngineSpec(
            model=self._model,
            max_prompt_tokens=self._config.data.max_prompt_tokens,
            max_model_len=self._config.max_model_len,
            seed=self._config.seed + index,
            weight_backend=weight_backend(self._config, self._need),
            num_gpus=gpus,
            add_special_tokens=self._config.data.template != "chat",
        )
        bundle = self._config.learner.num_ranks + index
        options = self._options(bundle, cpus=config.cpus_per_actor, gpus=gpus, env=env)
        return host("r1ray.rollout.vllm_engine:VLLMEngine", config, spec, concurrency=STREAMS, **options)

    def reward(self, index: int) -> Handle:
        cpus = self._config.reward.cpus_per_actor
        bundle = self._config.learner.num_ranks + self._config.rollout.num_actors + index if cpus else None
        options = self._options(bundle, cpus=cpus, env={"OMP_NUM_THREADS": "1"})
        arguments = (self._config.reward, self._programs, self._config.algo.max_completion_tokens)
        return host("r1ray.reward.scorer:RewardScorer", *arguments, concurrency=STREAMS, **options)

    def recorder(self, folder: Path) -> Handle:
        options = self._options(None, cpus=0, env={"OMP_NUM_THREADS": "1"})
        return host("r1ray.telemetry.rollouts:RolloutLog", folder, **options)
