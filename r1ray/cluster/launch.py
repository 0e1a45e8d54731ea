"""From the configuration of a run to its roles: the order in which actors are started, each after what it needs."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from r1ray.cluster.engines import EngineLimits, EnginePool
from r1ray.cluster.environments import EnvironmentWorkers
from r1ray.cluster.group_host import episodes_spec
from r1ray.cluster.group_workers import GroupWorkers, start_group_workers
from r1ray.cluster.host import Handle, address_and_port
from r1ray.cluster.joining import connect
from r1ray.cluster.learners import LearnerGroup
from r1ray.cluster.newcomers import newcomers
from r1ray.cluster.placement import (
    Needs,
    Reservation,
    check_backend,
    check_replay,
    learner_needs,
    model_section,
    training_needs,
)
from r1ray.cluster.publish import RayWeightSync
from r1ray.cluster.ready import all_ready, engine_pool, ranks_ready, then_asleep
from r1ray.cluster.recorder import RecorderProxy
from r1ray.cluster.room import Room
from r1ray.cluster.scorers import RewardWorkers
from r1ray.cluster.services import RewardModelPool
from r1ray.cluster.snapshot import Snapshot
from r1ray.cluster.spawn import Spawner, spawning
from r1ray.cluster.storage import check_storage, learner_paths, training_paths
from r1ray.cluster.turns import NoTurns, SharedDevices, Turns
from r1ray.config import Deadlines, LearnerConfig, RewardConfig, RunConfig, WeightsConfig
from r1ray.config.specs import AdapterSpec, EngineSpec, LearnerSpec
from r1ray.environments.registry import WorldSource
from r1ray.errors import UserError
from r1ray.loop.roles import Roles
from r1ray.planning.placed import with_placement
from r1ray.runtime.deadline import within
from r1ray.types import Int32Array

GRPO = "r1ray.learner.grpo:GRPOLearner"


@dataclass(frozen=True, slots=True)
class Running:
    """The roles of a run, and what ends it."""

    roles: Roles
    learner: LearnerGroup
    recorder: RecorderProxy
    eval_groups: GroupWorkers
    spawner: Spawner
    environments: EnvironmentWorkers
    followed: tuple[EnginePool | GroupWorkers | LearnerGroup | EnvironmentWorkers, ...]
    """What watches over actors: it stops before they end."""

    @property
    def placement(self) -> Reservation:
        return self.spawner.placement

    def shutdown(self) -> None:
        for each in self.followed:
            each.close()
        self.spawner.end()


async def launch(
    config: RunConfig,
    *,
    model: str,
    rollouts: Path,
    probe: Sequence[Int32Array],
    programs: frozenset[str],
    worlds: Mapping[str, WorldSource],
) -> Running:
    """Start every actor of the run and wait until all of them answer.

    Args:
        model: folder or hub name that learner and engines load.
        rollouts: folder of the rollout log.
        probe: the sequences of the parity probe, each [T] int32.
        programs: languages in which the prompts ask for programs; with any, reward actors have a sandbox.
        worlds: what the environments of the prompts are made from, by their names.

    Raises UserError where the cluster is too small, or a node does not see the files, and what any actor raised at its
    start.
    """
    learner, rollout, reward, deadlines = config.learner, config.rollout, config.reward, config.deadlines.decided
    _, gpus = connect(config.cluster.address)
    config = with_placement(config, num_gpus=gpus)
    need = training_needs(
        learner,
        rollout,
        reward,
        num_eval_engines=config.eval.num_actors,
        max_model_len=config.max_model_len,
        cluster_has_gpus=gpus > 0,
        is_colocated=config.is_colocated,
        environment=config.environment if worlds else None,
    )
    backend = weight_backend(config.weights, need)
    check_replay(learner.router, need)
    sends_adapters = learner.lora.is_native(has_gpus=need.of("rollout").gpus > 0, engine_dtype=rollout.dtype)
    level = _sleep_level(config, sends_adapters=sends_adapters)
    spec = EngineSpec(
        model=model,
        max_prompt_tokens=config.data.max_prompt_tokens,
        max_model_len=config.max_model_len,
        seed=config.seed,
        weight_backend=backend,
        num_gpus=need.of("rollout").gpus,
        add_special_tokens=config.data.template != "chat",
        adapter=_adapter_spec(learner) if sends_adapters else None,
        sleeps=config.is_colocated,
        returns_experts=learner.router.replay,
    )
    loaded = [model, *(str(each.model) for each in reward.models.values()), *config.algo.teacher.models.values()]
    async with spawning(need, wait_s=config.cluster.wait_s, models=loaded) as spawner:
        paths = training_paths(model, rollouts.parent, reward.models, config.algo.teacher)
        await check_storage(spawner, paths, start_s=deadlines.start_s)
        offload = config.colocated.offloaded(learner) if config.is_colocated else "none"
        arguments = (config.algo, LearnerSpec(model, config.seed, config.num_updates, sends_adapters, offload))
        start_ranks = _starter(spawner, learner, GRPO, *arguments, deadlines=deadlines)
        spawn_engine = partial(spawner.engine, config=rollout, spec=spec)
        engines = {each: [spawn_engine(each, i) for i in range(need.count(each))] for each in ("rollout", "eval")}
        models = _preference_models(spawner, reward, template=config.data.template)
        spawn_scorer = partial(
            spawner.scorer,
            config=reward,
            sandbox=config.sandbox,
            programs=programs,
            max_tokens=config.algo.max_completion_tokens,
            models=models,
        )
        scorers = [spawn_scorer(index) for index in range(reward.num_actors)]
        rewards = RewardWorkers(scorers, spawn_scorer)
        spawn_worlds = partial(
            spawner.environment_worker, config=config.environment, sources=worlds, sandbox=config.sandbox
        )
        with_worlds = [spawn_worlds(index) for index in range(need.count("environment"))]
        recorder = partial(spawner.recorder, rollouts, model)
        others = all_ready(
            [*(actor for each in models.values() for actor in each.actors), *scorers, *with_worlds],
            [actor for each in engines.values() for actor in each],
            start_s=deadlines.start_s,
        )
        start_learner = partial(ranks_ready, start_ranks, start_s=deadlines.start_s)
        if config.is_colocated:
            others = then_asleep(others, engines["rollout"], level=level, start_s=deadlines.start_s)
        if config.is_colocated and need.of("rollout").gpus:  # an engine measures the free memory when it starts
            num_workers = await others
            ranks, address = await start_learner()
        else:
            num_workers, (ranks, address) = await asyncio.gather(others, start_learner())
        environments = EnvironmentWorkers(
            with_worlds, spawn_worlds, start_s=deadlines.start_s, silent_s=rollout.silent_s
        )
        start_groups = partial(
            start_group_workers,
            spawner,
            rewards,
            reward=reward,
            deadlines=deadlines,
            environments=environments,
            episodes=episodes_spec(config, model) if worlds else None,
        )
        groups = await start_groups(num_workers=config.cluster.group_workers, silent_s=rollout.silent_s)
        eval_groups = await start_groups(num_workers=0)
        limits = EngineLimits(
            num_slots=groups.share_of(rollout.slots),
            min_engines=rollout.min_actors,
            start_s=deadlines.start_s,
            silent_s=rollout.silent_s,
        )
        room = Room()
        pool = engine_pool("rollout", engines["rollout"], num_workers, spawner, spawn_engine, groups, limits, room)
        pool.follow(newcomers(spawner.placement, "rollout", first=rollout.num_actors, end=rollout.most_actors))
        eval_limits = replace(limits, num_slots=rollout.slots, min_engines=0)
        eval_pool = engine_pool("eval", engines["eval"], num_workers, spawner, spawn_engine, eval_groups, eval_limits)
        group = LearnerGroup(ranks, address, groups, start=start_ranks, kill=spawner.kill)
        await _watch(group, start_s=deadlines.start_s)
        turns: Turns = NoTurns()
        if config.is_colocated:
            turns = SharedDevices(pool, group, room, level=level, phase_s=deadlines.publish_s / 3)
        weights = RayWeightSync(
            config.weights,
            pool,
            group,
            eval_pool=eval_pool if eval_pool.engines else None,
            backend=backend,
            probe=probe,
            bounds=config.weights.bounds(rollout.dtype, learner.dtype, rollout.quantization),
            deadlines=deadlines,
            answer_s=rollout.silent_s,
            snapshot=Snapshot(spawner.snapshot_keeper if config.weights.snapshot else None),
            turns=turns,
        )
    log = RecorderProxy(recorder, groups, deadline_s=deadlines.checkpoint_s, learned=group.learned)
    evaluating = eval_groups if eval_pool.engines else groups
    roles = Roles(
        groups=groups,
        learner=group,
        weights=weights,
        recorder=log,
        eval_groups=evaluating,
    )
    followed = (pool, eval_pool, groups, eval_groups, group, environments)
    return Running(roles, group, log, evaluating, spawner, environments, followed)


@dataclass(frozen=True, slots=True)
class RunningLearner:
    """A learner group by itself, and what ends it."""

    learner: LearnerGroup
    spawner: Spawner

    def shutdown(self) -> None:
        self.learner.close()
        self.spawner.end()


async def launch_learner(
    config: RunConfig, *, model: str, learner: str, num_updates: int, settings: Sequence[Any] = ()
) -> RunningLearner:
    """Start the ranks of a learner, without engines or reward actors, and wait until all of them answer.

    Args:
        model: folder or hub name that the ranks load.
        learner: ``package.module:Class``, built with ``config.learner``, ``settings`` and the two specs.
        num_updates: optimizer updates, for the learning-rate schedule.
        settings: further sections of the configuration.

    Raises UserError where the cluster is too small, or a node does not see the files, and what any rank raised at its
    start.
    """
    deadlines = config.deadlines.decided
    _, gpus = connect(config.cluster.address)
    need = learner_needs(config.learner, cluster_has_gpus=gpus > 0)
    async with spawning(need, wait_s=config.cluster.wait_s, models=[model]) as spawner:
        paths = learner_paths(model, Path(config.output_dir).expanduser().resolve())
        await check_storage(spawner, paths, start_s=deadlines.start_s)
        spec = LearnerSpec(model, config.seed, num_updates)
        start_ranks = _starter(spawner, config.learner, learner, *settings, spec, deadlines=deadlines)
        ranks, address = await ranks_ready(start_ranks, start_s=deadlines.start_s)
        group = LearnerGroup(ranks, address, start=start_ranks, kill=spawner.kill)
        await _watch(group, start_s=deadlines.start_s)
    return RunningLearner(group, spawner)


def weight_backend(config: WeightsConfig, need: Needs) -> str:
    """Return the name of the weight-transfer engine. Raises UserError if one is asked for that needs GPUs, without
    GPUs."""
    check_backend(config.backend, need)
    has_gpus = bool(need.of("rollout").gpus and need.of("learner").gpus)
    between_gpus = "ipc" if need.is_colocated else "nccl"
    backend = (between_gpus if has_gpus else "gloo") if config.backend == "auto" else config.backend
    return f"r1ray_{backend}"


def _sleep_level(config: RunConfig, *, sends_adapters: bool) -> int:
    level = config.colocated.level(sends_adapters=sends_adapters)
    if config.is_colocated and sends_adapters and level == 2:
        raise UserError(
            "colocated.sleep_level=2: adapters are published by themselves here (learner.lora.publish=auto), and the "
            "weights below them would be given up; needs 1, or learner.lora.publish=merged."
        )
    return level


def _adapter_spec(config: LearnerConfig) -> AdapterSpec:
    lora = config.lora
    if "lm_head" in (lora.targets or ()):
        raise UserError(
            "learner.lora.targets: vLLM cannot tell log-probabilities of prompts where the output layer has an adapter "
            "of its own; needs to be without lm_head, or learner.lora.publish=merged."
        )
    return AdapterSpec(lora.rank, config.dtype, tuple(lora.targets) if lora.targets else None)


def _preference_models(spawner: Spawner, config: RewardConfig, *, template: str) -> dict[str, RewardModelPool]:
    """Start the actors of ``reward.models``. Returns a pool for each name."""
    pools = {}
    for name, model in config.models.items():
        section, key = model_section(name), f"reward.parts.{name}.deadline_s"
        actors = [spawner.reward_model(section, index, model, template) for index in range(model.num_actors)]
        pools[name] = RewardModelPool(actors, deadline_s=config.parts[name].deadline_s, what=section, key=key)
    return pools


def _starter(
    spawner: Spawner, config: LearnerConfig, learner: str, *arguments: Any, deadlines: Deadlines
) -> Callable[[], Awaitable[tuple[Sequence[Handle], str]]]:
    """Return what starts the ranks of a learner, and starts them again: it returns them, and the address of rank 0's
    node. Each time they meet at another port."""

    async def start() -> tuple[Sequence[Handle], str]:
        place = await _place_of_rank_0(spawner, start_s=deadlines.start_s)
        return spawner.learners(config, learner, *arguments, place=place, timeout_s=deadlines.learn_s), place[0]

    return start


async def _watch(group: LearnerGroup, *, start_s: float) -> None:
    await within(start_s, group.watch(), waiter="the run", owner="the learner group", key="deadlines.start_s")


async def _place_of_rank_0(spawner: Spawner, *, start_s: float) -> tuple[str, int]:
    """Return the address and a free port of the node of learner rank 0."""
    place: tuple[str, int] = await within(
        start_s,
        spawner.beside_rank_0(address_and_port),
        waiter="the run",
        owner="the node of learner rank 0",
        key="deadlines.start_s",
    )
    return place
