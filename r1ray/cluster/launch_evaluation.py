"""From the configuration of an evaluation to its engines and judges, in the order in which they are started."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from ray.exceptions import RayError

from r1ray.cluster.engine import Engine
from r1ray.cluster.engines import EngineLimits, EnginePool
from r1ray.cluster.environments import EnvironmentWorkers
from r1ray.cluster.group_workers import GroupWorkers, start_group_workers
from r1ray.cluster.host import Handle
from r1ray.cluster.joining import connect
from r1ray.cluster.newcomers import newcomers
from r1ray.cluster.placement import Needs, evaluation_needs
from r1ray.cluster.ready import all_ready, engine_pool
from r1ray.cluster.scorers import RewardWorkers
from r1ray.cluster.services import JudgePool, RewardModelPool
from r1ray.cluster.spawn import Spawner, spawning
from r1ray.cluster.storage import check_storage, evaluation_paths
from r1ray.config import EvaluationConfig, JudgeConfig
from r1ray.config.specs import EngineSpec, EpisodesSpec
from r1ray.environments.registry import WorldSource
from r1ray.errors import UserError
from r1ray.runtime.deadline import within


@dataclass(frozen=True, slots=True)
class RunningEvaluation:
    """Engines that hold one model, reward actors, and what ends them."""

    groups: GroupWorkers
    engines: EnginePool
    environments: EnvironmentWorkers
    reward_model: RewardModelPool | None
    spawner: Spawner

    def shutdown(self) -> None:
        self.engines.close()
        self.groups.close()
        self.environments.close()
        self.spawner.end()


async def launch_evaluation(
    config: EvaluationConfig,
    *,
    model: str,
    max_model_len: int,
    template: str,
    programs: frozenset[str],
    is_scored: bool = True,
    worlds: Mapping[str, WorldSource] | None = None,
    episodes: EpisodesSpec | None = None,
) -> RunningEvaluation:
    """Start engines with a model as it is, and what judges its answers, without a learner.

    Args:
        model: folder that the engines load.
        max_model_len: longest prompt and answer together.
        template: by which prompts were rendered.
        programs: languages of the programs that will be asked for.
        is_scored: start reward actors; without them answers can be sampled alone.
        worlds: what the environments of the questions are made from, by their names.
        episodes: what trajectories in them need; None: no question has one.

    Raises UserError where the cluster is too small, or a node does not see the files, and what any actor raised at its
    start.
    """
    reward, deadlines = config.reward, config.deadlines.decided
    _, gpus = connect(config.cluster.address)
    need = evaluation_needs(
        config.rollout,
        reward,
        config.judge,
        config.reward_model,
        cluster_has_gpus=gpus > 0,
        environment=config.environment if episodes else None,
    )
    if not is_scored:
        need = Needs(tuple(kind for kind in need.kinds if kind.section == "rollout"))
    engines_of = {
        "rollout": (config.rollout, max_model_len),
        "judge.engine": (config.judge.engine, config.judge.max_model_len),
    }
    for section, (engine, longest) in engines_of.items():
        if need.count(section) and (problem := engine.why_not_seeded(section, need.of(section).gpus, longest)):
            raise UserError(f"{problem}.")
    spec = EngineSpec(
        model=model,
        max_prompt_tokens=max_model_len - 1,
        max_model_len=max_model_len,
        seed=config.seed,
        weight_backend=None,
        num_gpus=need.of("rollout").gpus,
        add_special_tokens=template != "chat",
    )
    async with spawning(need, wait_s=config.cluster.wait_s, models=[model]) as spawner:
        paths = evaluation_paths(model, config.judge, config.reward_model)
        await check_storage(spawner, paths, start_s=deadlines.start_s)
        judges = [spawner.judge(index, config.judge, config.seed) for index in range(need.count("judge.engine"))]
        spawn_engine = partial(spawner.engine, config=config.rollout, spec=spec)
        engines = [spawn_engine("rollout", index) for index in range(config.rollout.num_actors)]
        spawn_scorer = partial(
            spawner.scorer,
            config=reward,
            sandbox=config.sandbox,
            programs=programs,
            max_tokens=None,
            judge=_judge(judges, config.judge),
        )
        scorers = [spawn_scorer(index) for index in range(reward.num_actors if is_scored else 0)]
        rewards = RewardWorkers(scorers, spawn_scorer)
        models = [
            spawner.reward_model("reward_model", index, config.reward_model, template)
            for index in range(need.count("reward_model"))
        ]
        spawn_worlds = partial(
            spawner.environment_worker, config=config.environment, sources=worlds or {}, sandbox=config.sandbox
        )
        with_worlds = [spawn_worlds(index) for index in range(need.count("environment"))]
        num_workers = await all_ready([*models, *scorers, *with_worlds], [*engines, *judges], start_s=deadlines.start_s)
        silent_s = config.rollout.silent_s
        environments = EnvironmentWorkers(with_worlds, spawn_worlds, start_s=deadlines.start_s, silent_s=silent_s)
        groups = await start_group_workers(
            spawner,
            rewards,
            num_workers=0,
            reward=reward,
            deadlines=deadlines,
            environments=environments,
            episodes=episodes,
        )
        limits = EngineLimits(
            num_slots=config.rollout.slots,
            min_engines=config.rollout.min_actors,
            start_s=deadlines.start_s,
            silent_s=silent_s,
        )
        pool = engine_pool("rollout", engines, num_workers, spawner, spawn_engine, groups, limits)
        pool.when_ready(partial(_serve, pool))
        rollout = config.rollout
        pool.follow(newcomers(spawner.placement, "rollout", first=rollout.num_actors, end=rollout.most_actors))
        await _serve_all(pool, start_s=deadlines.start_s)
    return RunningEvaluation(
        groups,
        pool,
        environments,
        RewardModelPool(models, deadline_s=deadlines.score_s) if models else None,
        spawner,
    )


def _judge(actors: Sequence[Handle], config: JudgeConfig) -> JudgePool | JudgeConfig | None:
    """Return who judges: the actors, a service by its address, or nobody."""
    if actors:
        return JudgePool(actors, config)
    return config if config.url else None


async def _serve_all(pool: EnginePool, *, start_s: float) -> None:
    """Let the engines of a pool answer."""
    await within(
        start_s,
        asyncio.gather(*(_serve(pool, engine) for engine in pool.engines)),
        waiter="the evaluation",
        owner="the engines to serve",
        key="deadlines.start_s",
    )


async def _serve(pool: EnginePool, engine: Engine) -> None:
    """Let an engine answer with the weights that it loaded."""
    try:
        await engine.actor.commit.remote(0)
        await engine.actor.resume.remote()
    except RayError as error:
        pool.lose(engine, str(error))
    else:
        await pool.serve([engine])
