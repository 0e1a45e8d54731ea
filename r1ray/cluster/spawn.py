"""One actor of each kind: its class by its path, its resources and place, and the environment of its process."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any
from uuid import uuid4

import ray
from ray.exceptions import RayError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from r1ray.cluster.host import EngineShards, Handle, host, import_path
from r1ray.cluster.joining import scratch_environment
from r1ray.cluster.killing import MARK, kill_marked
from r1ray.cluster.placement import Needs, Reservation, reserve
from r1ray.cluster.rank_host import Place, kill_process, rank_host
from r1ray.config import (
    EnvironmentConfig,
    JudgeConfig,
    LearnerConfig,
    RewardConfig,
    RewardModelConfig,
    RolloutConfig,
    SandboxConfig,
)
from r1ray.config.specs import EngineSpec, GroupWorkerSpec, JudgeSpec, RankSpec
from r1ray.environments.registry import WorldSource
from r1ray.reward.judged import Judge
from r1ray.reward.preference import PreferenceModel
from r1ray.runtime.job_environment import KEPT
from r1ray.runtime.own_process import Name, environment
from r1ray.runtime.threads import thread_environment

KILL_S = 30.0
"""Deadline of a node to kill a process, or those of an engine."""
MAX_RESTARTS = 3
"""Of an actor that Ray starts again by itself."""
ROLES = {
    "learner": "learner rank",
    "rollout": "rollout worker",
    "eval": "eval engine",
    "judge.engine": "judge engine",
    "reward": "reward worker",
    "reward_model": "reward model",
    "environment": "environment worker",
}
"""Roles of each section's actors, as ``r1ray status`` and logs name them; the others are ``reward.models.NAME``."""


@asynccontextmanager
async def spawning(need: Needs, *, wait_s: float, models: Sequence[str]) -> AsyncIterator[Spawner]:
    """Reserve what is needed, and hand out a spawner on it. If the block raises, all that it started ends.

    Args:
        wait_s: the longest wait for the reservation, seconds.
        models: as of :class:`Spawner`.
    """
    spawner = Spawner(await reserve(need, wait_s=wait_s), models)
    try:
        yield spawner
    except BaseException:
        spawner.end()
        raise


class Spawner:
    """Makes the actors of one reservation, from plain classes, and ends all that it made."""

    def __init__(self, placement: Reservation, models: Sequence[str]) -> None:
        """``models``: what the actors load. If all are folders, no actor asks a hub."""
        self.placement, self._need = placement, placement.need
        self._started: list[Handle] = []
        self._marks: dict[Handle, tuple[str, int, str]] = {}
        """Rollout engines, each with its place and with what its processes have in their environment."""
        self._common = {
            **import_path(),
            **scratch_environment(),
            "TOKENIZERS_PARALLELISM": "false",
            "DO_NOT_TRACK": "1",
            "VLLM_NO_USAGE_STATS": "1",
            **({"HF_HUB_OFFLINE": "1"} if all(Path(model).is_dir() for model in models) else {}),
        }

    def end(self) -> None:
        """Kill every actor that was made, and give the reservation back."""
        for actor in self._started:
            actor.kill()
        self.placement.remove()

    def learners(
        self, config: LearnerConfig, learner: str, *arguments: Any, place: tuple[str, int], timeout_s: float
    ) -> list[Handle]:
        """Make all ranks of a learner group.

        Args:
            learner: ``package.module:Class``, built with ``config``, ``arguments`` and a RankSpec.
            place: address and port of rank 0, where the ranks meet.
            timeout_s: of their collectives.
        """
        gpus = self._need.of("learner").gpus
        env = thread_environment(config.threads) | {"DS_ACCELERATOR": "cuda" if gpus else "cpu"}
        return [
            self._keep(
                rank_host(
                    learner,
                    config,
                    *arguments,
                    RankSpec(rank, config.num_ranks, *place, gpus, timeout_s),
                    **self._options("learner", rank, env),
                )
            )
            for rank in range(config.num_ranks)
        ]

    def engine(self, section: str, index: int, config: RolloutConfig, spec: EngineSpec) -> Handle:
        """Make a rollout engine. Each samples with a seed of its own: the one of ``spec``, plus its index."""
        path, spec = "r1ray.rollout.vllm_engine:", replace(spec, seed=spec.seed + index)
        mark = uuid4().hex
        env = _vllm(config, spec) | {MARK: mark}
        options = self._spread(section, index, env, part=f"{path}VLLMShard")
        actor = self._host(f"{path}VLLMEngine", config, spec, **options)
        self._marks[actor] = section, index, mark
        return actor

    async def end_engine(self, actor: Handle) -> None:
        """Kill a rollout engine with all of its processes, which may be stopped, or have outlived it."""
        section, index, mark = self._marks.pop(actor)
        actor.kill()
        calls = [self._kill_part(section, index, part, mark) for part in range(self._need.of(section).nodes)]
        with suppress(RayError, TimeoutError):  # its node is gone, and they with it
            async with asyncio.timeout(KILL_S):
                await asyncio.gather(*calls)

    async def _kill_part(self, section: str, index: int, part: int, mark: str) -> None:
        if self.placement.node(section, index, part) == ray.get_runtime_context().get_node_id():
            await asyncio.to_thread(kill_marked, mark)  # a task would have to start a process first
        else:
            await self._beside(section, index, part, kill_marked, mark)

    def judge(self, index: int, config: JudgeConfig, seed: int) -> Handle:
        """Make an engine that serves the judge's model."""
        spec = JudgeSpec(
            model=absolute(str(config.model)),
            max_model_len=config.max_model_len,
            max_tokens=config.max_tokens,
            num_gpus=self._need.of("judge.engine").gpus,
            seed=seed + index,
        )
        path = "r1ray.rollout.vllm_judge:"
        options = self._spread("judge.engine", index, _vllm(config.engine, spec), part=f"{path}VLLMJudgeShard")
        return self._host(f"{path}VLLMJudge", config.engine, spec, max_restarts=MAX_RESTARTS, **options)

    def reward_model(self, section: str, index: int, config: RewardModelConfig, template: str) -> Handle:
        """Make an actor that scores texts with a reward model."""
        env = thread_environment(config.threads)
        device = "cuda" if self._need.of(section).gpus else "cpu"
        options = self._options(section, index, env) | {"max_restarts": MAX_RESTARTS}
        config = replace(config, model=absolute(str(config.model)))
        return self._host("r1ray.reward.model:RewardModel", config, device, template, **options)

    def scorer(
        self,
        index: int,
        *,
        config: RewardConfig,
        sandbox: SandboxConfig,
        programs: frozenset[str],
        max_tokens: int | None,
        judge: Judge | JudgeConfig | None = None,
        models: Mapping[str, PreferenceModel] | None = None,
    ) -> Handle:
        """Make a reward actor. Arguments as of :class:`r1ray.reward.scorer.RewardScorer`."""
        options = self._options("reward", index, thread_environment(1))
        path = "r1ray.reward.scorer:RewardScorer"
        return self._host(path, config, sandbox, programs, max_tokens, judge, models, is_async=True, **options)

    def environment_worker(
        self, index: int, *, config: EnvironmentConfig, sources: Mapping[str, WorldSource], sandbox: SandboxConfig
    ) -> Handle:
        """Make an environment worker. Arguments as of :class:`r1ray.environments.worker.EnvironmentWorker`."""
        options = self._options("environment", index, thread_environment(1))
        path = "r1ray.environments.worker:EnvironmentWorker"
        return self._host(path, config, sources, sandbox, is_async=True, **options)

    def group_worker(
        self, node: str, scorers: Sequence[Handle], spec: GroupWorkerSpec, environments: Sequence[Handle]
    ) -> Handle:
        """Make a group worker on a node, or, if that is gone when Ray starts it again, elsewhere. What it is asked for
        a second time the driver decides, not Ray."""
        place = NodeAffinitySchedulingStrategy(node, soft=True)
        options: dict[str, Any] = {"num_cpus": 0, "scheduling_strategy": place, "max_restarts": -1}
        path, env = "r1ray.cluster.group_host:GroupHost", self._named(Name("group worker", spec.number))
        return self._host(path, scorers, spec, environments, is_async=True, **options, **env)

    def snapshot_keeper(self) -> Handle:
        """Make the actor that owns the snapshot's memory, on the node of learner rank 0."""
        options = self.placement.beside("learner", 0) | self._named(Name("snapshot", 0))
        return self._host("r1ray.weights.keeper:SnapshotKeeper", **options)

    def recorder(self, folder: Path, model: str) -> Handle:
        """Make the actor that writes the rollout log of a model."""
        # On the driver's own node: what the two write is then one run folder, also where storage is slow to agree.
        place = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
        options: dict[str, Any] = {"num_cpus": 0, "scheduling_strategy": place}
        env = self._named(Name("rollout log", 0))
        return self._keep(rank_host("r1ray.telemetry.rollouts:RolloutLog", folder, model, **options, **env))

    async def beside_rank_0(self, function: Any) -> Any:
        """Call ``function`` on the node of learner rank 0."""
        return await self._beside("learner", 0, 0, function)

    async def on_node(self, node: str, function: Any, *arguments: Any) -> Any:
        """Call ``function`` on a node."""
        place = NodeAffinitySchedulingStrategy(node, soft=False)
        options: dict[str, Any] = {"num_cpus": 0, "scheduling_strategy": place, **self._runtime({})}
        return await ray.remote(**options)(function).remote(*arguments)

    async def kill(self, place: Place) -> None:
        """Kill a process, also one that is stopped, on whatever node it is."""
        if place.node == ray.get_runtime_context().get_node_id():
            return kill_process(place)
        with suppress(RayError, TimeoutError):  # its node is gone, and it with that
            async with asyncio.timeout(KILL_S):
                await self.on_node(place.node, kill_process, place)

    async def _beside(self, section: str, index: int, part: int, function: Any, *arguments: Any) -> Any:
        options = self.placement.beside(section, index, part) | self._runtime({})
        return await ray.remote(**options)(function).remote(*arguments)

    def _host(self, path: str, *arguments: Any, **options: Any) -> Handle:
        return self._keep(host(path, *arguments, **options))

    def _keep(self, actor: Handle) -> Handle:
        self._started.append(actor)
        return actor

    def _named(self, name: Name) -> dict[str, Any]:
        """Return the environment of an actor with one thread of its own."""
        return self._runtime(thread_environment(1) | environment(name))

    def _options(self, section: str, index: int, env: dict[str, str], part: int = 0) -> dict[str, Any]:
        role = ROLES.get(section) or f"reward model {section.removeprefix('reward.models.')}"
        name = Name(role, index, str(part) if part else "")
        return self.placement.options(section, index, part) | self._runtime(env | environment(name))

    def _spread(self, section: str, index: int, env: dict[str, str], *, part: str) -> dict[str, Any]:
        """Of an engine, which may be spread over nodes: options, and its other parts, of the class ``part``."""
        nodes = self._need.of(section).nodes
        others = [self._options(section, index, env, rank) for rank in range(1, nodes)]
        own: dict[str, Any] = {"parts": EngineShards(part, others)} if others else {}
        return own | {"is_async": True} | self._options(section, index, env)

    def _runtime(self, env: dict[str, str]) -> dict[str, Any]:
        own = self._common | env
        return {"runtime_env": {"env_vars": own | {KEPT: ",".join(own)}}}


def absolute(model: str) -> str:
    """Return a model's folder for actors that work elsewhere; the name of one on a hub as it is."""
    folder = Path(model).expanduser()
    return str(folder.resolve()) if folder.is_dir() else model


def _vllm(config: RolloutConfig, spec: EngineSpec | JudgeSpec) -> dict[str, str]:
    """Return the environment of a vLLM engine."""
    env = {"VLLM_LOGGING_LEVEL": "WARNING"}
    if not spec.num_gpus:
        env |= thread_environment(config.threads) | {
            "VLLM_CPU_KVCACHE_SPACE": str(config.cpu_kv_cache_gib),
            "VLLM_CPU_OMP_THREADS_BIND": "nobind",  # the default pins every engine of a node to the same cores
            # The engine core (a process of its own all the same) then computes itself. Else vLLM puts a worker
            # process under it on CPUs, and both wait for each other by spinning on a core each.
            "VLLM_ENABLE_V1_MULTIPROCESSING": "0",
        }
    return env
