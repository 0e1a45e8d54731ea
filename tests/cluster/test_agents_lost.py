"""A group worker that is lost while agents of its trajectories call: on the real Ray, with roles of our own."""

from __future__ import annotations

import asyncio
import os
import signal
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

from r1ray.cluster.engine import Engine
from r1ray.cluster.engines import EngineActors, EnginePool
from r1ray.cluster.environments import EnvironmentWorkers
from r1ray.cluster.group_host import episodes_spec
from r1ray.cluster.group_workers import GroupWorkers
from r1ray.cluster.host import Handle, host
from r1ray.cluster.scorers import RewardWorkers
from r1ray.config.specs import GroupWorkerSpec
from r1ray.environments.registry import WorldSource
from r1ray.errors import GroupLost
from r1ray.types import GroupRequest
from tests.cluster.hosted import pid_of
from tests.cluster.test_group_host import ENVIRONMENT, config, request
from tests.cluster.test_group_workers import ENV, LIMITS, cluster, end, hosted, run, until

__all__ = ["cluster"]
pytestmark = [pytest.mark.real, pytest.mark.faults, pytest.mark.long]


def order(group_id: str) -> GroupRequest:
    return replace(request(group_id), group_size=4)


@pytest.mark.parametrize("fault", [signal.SIGKILL, signal.SIGSTOP])
def test_agents_of_a_lost_group_worker_end_and_its_group_begins_anew_with_other_keys(
    tmp_path: Path, llama_folder: Path, fault: signal.Signals
) -> None:
    source = WorldSource("maze", "tests.cluster.calling:Calling", {"folder": str(tmp_path)}, is_shipped=True)

    def noted() -> Counter[str]:
        return Counter(each.read_text() for each in tmp_path.iterdir())

    async def is_noted(state: str, number: int) -> bool:
        return noted()[state] == number

    async def scenario() -> None:
        made: list[Handle] = []

        def make(name: str, *arguments: object) -> Handle:
            made.append(hosted(name, *arguments))
            return made[-1]

        rewards = RewardWorkers([make("Rewards", str(tmp_path))], lambda index: make("Rewards", str(tmp_path)))
        path = "r1ray.environments.worker:EnvironmentWorker"
        worlds = host(path, ENVIRONMENT, {"maze": source}, is_async=True, **ENV)
        episodes = episodes_spec(config(llama_folder), str(llama_folder))
        spec = GroupWorkerSpec(number=0, generate_s=60.0, score_s=60.0, scores_in_flight=8, episodes=episodes)
        actor = host(
            "r1ray.cluster.group_host:GroupHost", rewards.actors, spec, [worlds], is_async=True, max_restarts=-1, **ENV
        )
        environments = EnvironmentWorkers([worlds], lambda index: worlds)
        groups = GroupWorkers([actor], rewards, deadline_s=60.0, silent_s=2.0, environments=environments)
        pool = EnginePool(
            [Engine("rollout 0", make("Engine", 8), 1)],
            EngineActors(lambda name: make("Engine", 8), end),
            groups,
            LIMITS,
        )
        await asyncio.gather(*(each.alive() for each in [*made, actor, worlds]))
        await pool.serve(pool.engines)
        try:
            pid = await actor.actor.__ray_call__.remote(pid_of)
            running = asyncio.create_task(groups.run(order("slow/0")))
            await until(lambda: is_noted("solved", 2))  # the other two wait for the engine
            os.kill(pid, fault)
            with pytest.raises(GroupLost):
                await asyncio.wait_for(running, 60.0)
            await until(lambda: is_noted("APIConnectionError", 2))
            again = await groups.run(order("quick/0"))
            assert len(again.trajectories) == 4 and not again.removed
            assert noted() == {"solved": 6, "APIConnectionError": 2}
            assert [each.num_turns for each in again.trajectories] == [2] * 4
        finally:
            pool.close()
            groups.close()
            environments.close()
            for each in [*made, actor, worlds]:
                each.kill()

    run(scenario(), seconds=150.0)
