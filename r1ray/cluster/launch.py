"""From a configuration to running roles, in the order in which they depend on each other."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

import ray
from ray.exceptions import RayActorError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from r1ray.cluster.engines import Engine, RolloutPool
from r1ray.cluster.host import Handle, Parts, address_and_port, host, import_path, mistake_of
from r1ray.cluster.joining import connect
from r1ray.cluster.learners import LearnerGroup
from r1ray.cluster.placement import Needs, Reservation, evaluation_needs, model_section, needs, reserve
from r1ray.cluster.publish import RayWeightSync
from r1ray.cluster.recorder import RecorderProxy
from r1ray.cluster.scorers import ScorerPool
from r1ray.cluster.services import JudgePool, RewardModelPool
from r1ray.config import (
    Deadlines,
    EvaluationConfig,
    JudgeConfig,
    RewardConfig,
    RewardModelConfig,
    RolloutConfig,
    RunConfig,
)
from r1ray.config.specs import AdapterSpec, EngineSpec, JudgeSpec, LearnerSpec, RankSpec
from r1ray.errors import InfrastructureError, UserError
from r1ray.interfaces import Chunk
from r1ray.loop.controller import Roles
from r1ray.reward.judged import Judge
from r1ray.reward.preference import PreferenceModel
from r1ray.runtime.deadline import within
from r1ray.types import Int32Array

GRPO = "r1ray.learner.grpo:GRPOLearner"
MAX_RESTARTS = 3
"""Of an actor that Ray starts again by itself."""
STREAMS = 4096
"""Calls that a rollout or reward actor takes at a time; the engines do their own queueing."""


@dataclass(frozen=True, slots=True)
class Running:
    """The roles of a run, and everything that has to be ended with it."""

    roles: Roles[Any]
    learner: LearnerGroup
    pools: tuple[RolloutPool, ...]
    scorers: ScorerPool
    actors: tuple[Handle, ...]
    placement: Reservation

    def shutdown(self) -> None:
        replacements = (*(engine.actor for pool in self.pools for engine in pool.engines), *self.scorers.actors)
        for actor in (*self.actors, *replacements):
            actor.kill()
        self.placement.remove()


async def launch(
    config: RunConfig, *, model: str, rollouts: Path, probe: Sequence[Int32Array], programs: frozenset[str]
) -> Running:
    """Start every actor of the run and wait until all of them answer.

    Args:
        model: folder or hub name that learner and engines load.
        rollouts: folder of the rollout log.
        probe: the sequences of the parity probe, each [T] int32.
        programs: languages in which the prompts ask for programs; with any, reward actors have a sandbox.

    Raises UserError where the cluster is too small, or a node does not see the files, and what any actor raised at its
    start.
    """
    _, gpus = connect(config.cluster.address)
    need = needs(config, cluster_has_gpus=gpus > 0)
    backend = weight_backend(config, need)
    placement = await reserve(need, wait_s=config.cluster.wait_s)
    spawner = _Spawner(placement, [model, *(str(each.model) for each in config.reward.models.values())])
    is_native = config.learner.lora.is_native(has_gpus=need.of("rollout").gpus > 0, engine_dtype=config.rollout.dtype)
    adapter = _adapter_spec(config) if is_native else None
    started: list[Handle] = []
    models: dict[str, RewardModelPool] = {}

    def engine(section: str) -> Callable[[int], Handle]:
        spec = EngineSpec(
            model=model,
            max_prompt_tokens=config.data.max_prompt_tokens,
            max_model_len=config.max_model_len,
            seed=config.seed,
            weight_backend=backend,
            num_gpus=need.of(section).gpus,
            add_special_tokens=config.data.template != "chat",
            adapter=adapter,
        )
        return lambda index: spawner.engine(section, index, config.rollout, replace(spec, seed=spec.seed + index))

    def scorer(index: int) -> Handle:
        return spawner.scorer(index, config.reward, programs, config.algo.max_completion_tokens, models=models)

    stored = {"learner": {"model": model, "output_dir": str(rollouts.parent)}, "rollout": {"model": model}}
    stored |= {"eval": stored["rollout"]} if config.eval.num_actors else {}
    for name, preference in config.reward.models.items():
        stored[model_section(name)] = {f"{model_section(name)}.model": _absolute(str(preference.model))}
    try:
        await _check_storage(spawner, placement, stored, config.deadlines.decided)
        address, port = await _place_of_rank_0(spawner, config.deadlines.decided)
        arguments = (config.algo, LearnerSpec(model, config.seed, config.num_updates, is_native))
        ranks = spawner.learners(config, address, port, GRPO, *arguments)
        started += ranks
        sections = ["rollout", "eval"] if config.eval.num_actors else ["rollout"]
        actors = [[engine(section)(index) for index in range(need.of(section).count)] for section in sections]
        started += [actor for section in actors for actor in section]
        judging: list[Handle] = []
        for name, settings in config.reward.models.items():
            section, part = model_section(name), config.reward.parts[name]
            of_model = [
                spawner.reward_model(section, index, settings, config.data.template)
                for index in range(settings.num_actors)
            ]
            judging += of_model
            key = f"reward.parts.{name}.deadline_s"
            models[name] = RewardModelPool(of_model, deadline_s=part.deadline_s, what=section, key=key)
        started += judging
        started += (scorers := [scorer(index) for index in range(config.reward.num_actors)])
        started.append(recorder := spawner.recorder(rollouts))
        pools = [
            await _ready([*ranks, *judging], of_section, scorers, section, engine(section), config.deadlines.decided)
            for section, of_section in zip(sections, actors, strict=True)
        ]
        learner = LearnerGroup(ranks)
        weights = RayWeightSync(
            config.weights,
            pools[0],
            learner,
            held_out=pools[1] if len(pools) > 1 else None,
            backend=backend,
            address=address,
            probe=probe,
            bounds=config.weights.bounds(config.rollout.dtype, config.learner.dtype),
            deadlines=config.deadlines.decided,
            free_port=lambda: _second(spawner.beside_rank_0(address_and_port)),
        )
    except BaseException:
        _end(started, placement)
        raise
    scorer_pool = ScorerPool(
        scorers, scorer, deadline_s=config.deadlines.decided.score_s, max_in_flight=config.reward.max_in_flight
    )
    roles = Roles(
        rollout=pools[0],
        scorer=scorer_pool,
        learner=learner,
        weights=weights,
        recorder=RecorderProxy(recorder, deadline_s=config.deadlines.decided.checkpoint_s),
        held_out=pools[-1],
    )
    return Running(roles, learner, tuple(pools), scorer_pool, tuple(started), placement)


@dataclass(frozen=True, slots=True)
class RunningLearner:
    """A learner group by itself, and what has to be ended with it."""

    learner: LearnerGroup
    placement: Reservation

    def shutdown(self) -> None:
        _end(self.learner.ranks, self.placement)


async def launch_learner(config: RunConfig, *, model: str, learner: str, num_updates: int) -> RunningLearner:
    """Start the ranks of a learner, without engines or reward actors, and wait until all of them answer.

    Args:
        model: folder or hub name that the ranks load.
        learner: ``package.module:Class``, built with ``config.learner`` and the two specs.
        num_updates: optimizer updates, for the learning-rate schedule.

    Raises UserError where the cluster is too small, or a node does not see the files, and what any rank raised at its
    start.
    """
    _, gpus = connect(config.cluster.address)
    need = needs(config, cluster_has_gpus=gpus > 0)
    placement = await reserve(need, wait_s=config.cluster.wait_s)
    spawner = _Spawner(placement, [model])
    ranks: list[Handle] = []
    stored = {"learner": {"model": model, "output_dir": str(Path(config.output_dir).expanduser().resolve())}}
    try:
        await _check_storage(spawner, placement, stored, config.deadlines.decided)
        address, port = await _place_of_rank_0(spawner, config.deadlines.decided)
        ranks += spawner.learners(config, address, port, learner, LearnerSpec(model, config.seed, num_updates))
        await _all_ready(ranks, [], deadlines=config.deadlines.decided)
    except BaseException:
        _end(ranks, placement)
        raise
    return RunningLearner(LearnerGroup(ranks), placement)


@dataclass(frozen=True, slots=True)
class RunningEvaluation:
    """Engines that hold one model, reward actors, and what has to be ended with them."""

    rollout: RolloutPool
    scorer: ScorerPool
    reward_model: RewardModelPool | None
    actors: tuple[Handle, ...]
    placement: Reservation
    start_s: float
    """Deadline of an engine that replaces a lost one."""

    async def open_chunk(self, chunk: Any) -> Chunk:
        """The completions of a chunk."""
        return cast(Chunk, await chunk)

    def close_chunk(self, completions: Chunk) -> Any:
        """A chunk of completions that did not come from an engine."""
        return ray.put(completions)

    async def restore(self) -> None:
        """Start a new engine in the place of each lost one; never returns."""
        while True:
            await self.rollout.lost.wait()
            self.rollout.lost.clear()
            await within(
                self.start_s,
                self.rollout.replace_lost(prepare=_serve),
                waiter="the evaluation",
                owner="an engine that replaces a lost one",
                key="deadlines.start_s",
            )
            self.rollout.end_verification()

    def shutdown(self) -> None:
        replacements = (*(engine.actor for engine in self.rollout.engines), *self.scorer.actors)
        _end((*self.actors, *replacements), self.placement)


async def launch_evaluation(
    config: EvaluationConfig, *, model: str, max_model_len: int, template: str, programs: frozenset[str]
) -> RunningEvaluation:
    """Start engines with a model as it is, and what judges its answers, without a learner.

    Args:
        model: folder that the engines load.
        max_model_len: longest prompt and answer together.
        template: by which prompts were rendered.
        programs: languages of the programs that will be asked for.

    Raises UserError where the cluster is too small, or a node does not see the files, and what any actor raised at its
    start.
    """
    _, gpus = connect(config.cluster.address)
    need = evaluation_needs(config, cluster_has_gpus=gpus > 0)
    placement = await reserve(need, wait_s=config.cluster.wait_s)
    spawner = _Spawner(placement, [model])
    spec = EngineSpec(
        model=model,
        max_prompt_tokens=max_model_len - 1,
        max_model_len=max_model_len,
        seed=config.seed,
        weight_backend=None,
        num_gpus=need.of("rollout").gpus,
        add_special_tokens=template != "chat",
    )
    started: list[Handle] = []

    def engine(index: int) -> Handle:
        return spawner.engine("rollout", index, config.rollout, replace(spec, seed=spec.seed + index))

    stored = {"rollout": {"model": model}}
    if config.judge.is_served:
        stored["judge.engine"] = {"judge.model": _absolute(str(config.judge.model))}
    if config.reward_model.model is not None:
        stored["reward_model"] = {"reward_model.model": _absolute(config.reward_model.model)}
    try:
        await _check_storage(spawner, placement, stored, config.deadlines.decided)
        judges = [spawner.judge(index, config.judge, config.seed) for index in range(need.count("judge.engine"))]
        started += judges
        judge = JudgePool(judges, config.judge) if judges else config.judge if config.judge.url else None

        def scorer(index: int) -> Handle:
            return spawner.scorer(index, config.reward, programs, None, judge)

        started += (actors := [engine(index) for index in range(config.rollout.num_actors)])
        started += (scorers := [scorer(index) for index in range(config.reward.num_actors)])
        models = [
            spawner.reward_model("reward_model", index, config.reward_model, template)
            for index in range(need.count("reward_model"))
        ]
        started += models
        pool = await _ready(models, actors, scorers, "rollout", engine, config.deadlines.decided, judges=judges)
        await within(
            config.deadlines.decided.start_s,
            asyncio.gather(*(_serve(each.actor) for each in pool.engines)),
            waiter="the evaluation",
            owner="the engines to serve",
            key="deadlines.start_s",
        )
        pool.end_verification()
    except BaseException:
        _end(started, placement)
        raise
    deadlines = config.deadlines.decided
    return RunningEvaluation(
        pool,
        ScorerPool(scorers, scorer, deadline_s=deadlines.score_s, max_in_flight=config.reward.max_in_flight),
        RewardModelPool(models, deadline_s=deadlines.score_s) if models else None,
        tuple(started),
        placement,
        deadlines.start_s,
    )


async def _serve(actor: Handle) -> None:
    """Let an engine answer with the weights that it loaded."""
    await actor.commit.remote(0)
    await actor.resume.remote()


def _end(actors: Sequence[Handle], placement: Reservation) -> None:
    for actor in actors:
        actor.kill()
    placement.remove()


def weight_backend(config: RunConfig, need: Needs) -> str:
    """Name of the weight-transfer engine. Raises UserError where NCCL is asked for without GPUs."""
    backend = config.weights.backend
    has_gpus = bool(need.of("rollout").gpus and need.of("learner").gpus)
    if backend == "auto":
        backend = "nccl" if has_gpus else "gloo"
    if backend == "nccl" and not has_gpus:
        raise UserError("weights.backend=nccl needs GPUs in learner and rollout actors; use gloo, or auto.")
    return f"r1ray_{backend}"


async def _ready(
    others: Sequence[Handle],
    actors: Sequence[Handle],
    scorers: Sequence[Handle],
    section: str,
    spawn: Callable[[int], Handle],
    deadlines: Deadlines,
    *,
    judges: Sequence[Handle] = (),
) -> RolloutPool:
    """The pool of engines, once they and everything else answers."""
    workers = await _all_ready([*others, *scorers], actors, judges, deadlines=deadlines)
    engines = [Engine(f"{section} {i}", actor, n) for i, (actor, n) in enumerate(zip(actors, workers, strict=True))]
    return RolloutPool(engines, lambda name: spawn(int(name.split()[1])))


async def _all_ready(
    built: Sequence[Handle], engines: Sequence[Handle], judges: Sequence[Handle] = (), *, deadlines: Deadlines
) -> list[int]:
    """Wait for every constructor and every engine; returns the number of vLLM workers of each of ``engines``. A user's
    mistake that only an actor could find is a UserError here too."""

    async def answers() -> list[int]:
        alive = [actor.alive() for actor in built]
        ready = [actor.ready.remote() for actor in (*engines, *judges)]
        workers, *_ = await asyncio.gather(asyncio.gather(*ready), *alive)
        return list(workers)[: len(engines)]

    try:
        return await within(
            deadlines.start_s, answers(), waiter="the run", owner="the actors to start", key="deadlines.start_s"
        )
    except RayActorError as error:
        raise (mistake_of(error) or InfrastructureError(f"an actor could not start: {error}")) from error


def _adapter_spec(config: RunConfig) -> AdapterSpec:
    lora = config.learner.lora
    if "lm_head" in (lora.targets or ()):
        raise UserError(
            "learner.lora.targets: vLLM cannot tell log-probabilities of prompts where the output layer has an adapter "
            "of its own; needs to be without lm_head, or learner.lora.publish=merged."
        )
    return AdapterSpec(lora.rank, config.learner.dtype, tuple(lora.targets) if lora.targets else None)


def _absolute(model: str) -> str:
    """A model's folder for actors that work elsewhere; the name of one on a hub as it is."""
    folder = Path(model).expanduser()
    return str(folder.resolve()) if folder.is_dir() else model


async def _check_storage(
    spawner: _Spawner, placement: Reservation, stored: Mapping[str, Mapping[str, str]], deadlines: Deadlines
) -> None:
    """Raise UserError where a node does not see files of this one that its actors read or write.

    Args:
        stored: paths by their keys, for each section of actors. Names of models on a hub are left alone.
    """
    here = ray.get_runtime_context().get_node_id()
    asked = [
        (node, section, {key: path for key, path in paths.items() if os.path.exists(path)})
        for section, paths in stored.items()
        for node in placement.nodes(section)
        if node != here
    ]
    answers = await within(
        deadlines.start_s,
        asyncio.gather(*(spawner.on_node(node, _absent, list(paths.values())) for node, _, paths in asked)),
        waiter="the run",
        owner="the nodes to look at their storage",
        key="deadlines.start_s",
    )
    for (_, section, paths), (address, absent) in zip(asked, answers, strict=True):
        for key, path in paths.items():
            if path in absent:
                raise UserError(
                    f"{key}: {path} is not on node {address}, where {section} actors are placed: needs a path on "
                    "storage that all nodes see."
                )


def _absent(paths: list[str]) -> tuple[str, list[str]]:
    """This node's address, and which paths are not on it."""
    return ray.util.get_node_ip_address(), [path for path in paths if not os.path.exists(path)]


async def _place_of_rank_0(spawner: _Spawner, deadlines: Deadlines) -> tuple[str, int]:
    """Address and a free port of the node of learner rank 0."""
    place: tuple[str, int] = await within(
        deadlines.start_s,
        spawner.beside_rank_0(address_and_port),
        waiter="the run",
        owner="the node of learner rank 0",
        key="deadlines.start_s",
    )
    return place


async def _second(pair: Any) -> int:
    return int((await pair)[1])


class _Spawner:
    """Makes Ray actors of plain classes: resources, place and environment of each kind."""

    def __init__(self, placement: Reservation, models: Sequence[str]) -> None:
        self._need, self._placement = placement.need, placement
        self._common = {
            **import_path(),
            "TOKENIZERS_PARALLELISM": "false",
            "DO_NOT_TRACK": "1",
            "VLLM_NO_USAGE_STATS": "1",
            **({"HF_HUB_OFFLINE": "1"} if all(Path(model).is_dir() for model in models) else {}),
        }

    def _options(self, section: str, index: int, env: dict[str, str], part: int = 0) -> dict[str, Any]:
        return self._placement.options(section, index, part) | self._runtime(env)

    def _spread(self, section: str, index: int, env: dict[str, str], *, part: str) -> dict[str, Any]:
        """Of an engine, which may be spread over nodes: options, and its other parts, of the class ``part``."""
        nodes = self._need.of(section).nodes
        others = [self._options(section, index, env, rank) for rank in range(1, nodes)]
        own: dict[str, Any] = {"parts": Parts(part, others)} if others else {}
        return own | {"concurrency": STREAMS} | self._options(section, index, env)

    def _runtime(self, env: dict[str, str]) -> dict[str, Any]:
        return {"runtime_env": {"env_vars": self._common | env}}

    async def beside_rank_0(self, function: Any) -> Any:
        """Call ``function`` on the node of learner rank 0."""
        return await ray.remote(**self._placement.beside("learner", 0), **self._runtime({}))(function).remote()

    async def on_node(self, node: str, function: Any, *arguments: Any) -> Any:
        """Call ``function`` on a node."""
        place = NodeAffinitySchedulingStrategy(node, soft=False)
        options: dict[str, Any] = {"num_cpus": 0, "scheduling_strategy": place, **self._runtime({})}
        return await ray.remote(**options)(function).remote(*arguments)

    def learners(self, config: RunConfig, address: str, port: int, learner: str, *arguments: Any) -> list[Handle]:
        """All ranks of a learner group."""
        settings, gpus = config.learner, self._need.of("learner").gpus
        env = {"OMP_NUM_THREADS": str(settings.threads), "DS_ACCELERATOR": "cuda" if gpus else "cpu"}
        return [
            host(
                learner,
                settings,
                *arguments,
                RankSpec(rank, settings.num_ranks, address, port, gpus, config.deadlines.decided.learn_s),
                **self._options("learner", rank, env),
            )
            for rank in range(settings.num_ranks)
        ]

    def engine(self, section: str, index: int, config: RolloutConfig, spec: EngineSpec) -> Handle:
        path = "r1ray.rollout.vllm_engine:"
        options = self._spread(section, index, _vllm(config, spec), part=f"{path}VLLMPart")
        return host(f"{path}VLLMEngine", config, spec, **options)

    def judge(self, index: int, config: JudgeConfig, seed: int) -> Handle:
        spec = JudgeSpec(
            model=_absolute(str(config.model)),
            max_model_len=config.max_model_len,
            max_tokens=config.max_tokens,
            num_gpus=self._need.of("judge.engine").gpus,
            seed=seed + index,
        )
        path = "r1ray.rollout.vllm_judge:"
        options = self._spread("judge.engine", index, _vllm(config.engine, spec), part=f"{path}VLLMJudgePart")
        return host(f"{path}VLLMJudge", config.engine, spec, max_restarts=MAX_RESTARTS, **options)

    def reward_model(self, section: str, index: int, config: RewardModelConfig, template: str) -> Handle:
        env = {"OMP_NUM_THREADS": str(config.threads)}
        device = "cuda" if self._need.of(section).gpus else "cpu"
        options = self._options(section, index, env) | {"max_restarts": MAX_RESTARTS}
        config = replace(config, model=_absolute(str(config.model)))
        return host("r1ray.reward.model:RewardModel", config, device, template, **options)

    def scorer(
        self,
        index: int,
        config: RewardConfig,
        programs: frozenset[str],
        max_tokens: int | None,
        judge: Judge | JudgeConfig | None = None,
        models: Mapping[str, PreferenceModel] | None = None,
    ) -> Handle:
        options = self._options("reward", index, {"OMP_NUM_THREADS": "1"})
        path = "r1ray.reward.scorer:RewardScorer"
        return host(path, config, programs, max_tokens, judge, models, concurrency=STREAMS, **options)

    def recorder(self, folder: Path) -> Handle:
        # On the driver's own node: what the two write is then one run folder, also where storage is slow to agree.
        place = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
        options: dict[str, Any] = {"num_cpus": 0, "scheduling_strategy": place}
        return host("r1ray.telemetry.rollouts:RolloutLog", folder, **options, **self._runtime({"OMP_NUM_THREADS": "1"}))


def _vllm(config: RolloutConfig, spec: EngineSpec | JudgeSpec) -> dict[str, str]:
    """The environment of a vLLM engine."""
    env = {"VLLM_LOGGING_LEVEL": "WARNING"}
    if not spec.num_gpus:
        env |= {
            "OMP_NUM_THREADS": str(config.threads),
            "VLLM_CPU_KVCACHE_SPACE": str(config.cpu_kv_cache_gib),
            "VLLM_CPU_OMP_THREADS_BIND": "nobind",  # the default pins every engine of a node to the same cores
            # The engine core (a process of its own all the same) then computes itself. Else vLLM puts a worker
            # process under it on CPUs, and both wait for each other by spinning on a core each.
            "VLLM_ENABLE_V1_MULTIPROCESSING": "0",
        }
    return env
