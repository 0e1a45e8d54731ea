"""A group worker's process over fakes of its actors: trajectories in worlds of environment workers."""

from __future__ import annotations

import asyncio
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
from transformers import AutoTokenizer

from r1ray.cluster.group_host import GroupHost, conversation_settings, episodes_spec
from r1ray.config import AlgoConfig, DataConfig, EnvironmentConfig, RunConfig
from r1ray.config.specs import GroupWorkerSpec
from r1ray.conversation import ConversationSettings
from r1ray.rollout.engine import Generated, TrajectoryRequest, one_segment
from r1ray.turns import Done
from r1ray.types import GroupRequest, Prompt, Sampling, Scored, ScoredTrajectory, Trajectory, VersionSpan
from tests.cluster.test_environments import Actor
from tests.config.keys import PARTS
from tests.environments.test_worker import prompt
from tests.rollout.scripted import state

OWN = "tests.cluster.test_group_host:Twice"
ENVIRONMENT = EnvironmentConfig(worlds={"maze": {"path": OWN}}, max_trajectory_tokens=64)


class Twice:
    """Ends after two turns, and says how long they were."""

    def reset(self, prompt: Prompt, seed: int) -> str:
        self.turns: list[str] = []
        return "What?"

    def step(self, action: Any) -> Any:
        self.turns.append(action.text)
        return "Again." if len(self.turns) == 1 else Done(rewards={"turns": len(self.turns)}, label="answered")


class Engine:
    """Says one token, and ends its turn."""

    def __init__(self, eos: int) -> None:
        self._eos, self.given = eos, list[list[int]]()

    async def generate(self, request: TrajectoryRequest) -> Generated:
        given = request.given
        assert given is not None
        self.given.append(given.tolist())
        return Generated(
            one_segment(
                group_id=request.group_id,
                index=request.index,
                prompt_token_ids=given,
                token_ids=np.array([7, self._eos], dtype=np.int32),
                logprobs=np.zeros(2, dtype=np.float32),
                versions=(VersionSpan(0, 0, 2),),
                text="x",
            ),
            0,
        )


class Rewards:
    def __init__(self) -> None:
        self.score = SimpleNamespace(remote=self._score)

    async def _score(self, prompt: Prompt, trajectory: Trajectory) -> ScoredTrajectory:
        return ScoredTrajectory.of(trajectory, Scored(1.0, {}), extracted=None)


def config(folder: Path) -> RunConfig:
    data = DataConfig(train="t", template="none", max_prompt_tokens=20)
    return RunConfig(
        model=str(folder), data=data, algo=AlgoConfig(max_completion_tokens=16), environment=ENVIRONMENT, reward=PARTS
    )


def test_a_group_takes_place_in_worlds_and_goes_on_in_those_of_another_worker(llama_folder: Path) -> None:
    run = config(llama_folder)
    spec = GroupWorkerSpec(
        number=0, generate_s=10.0, score_s=10.0, scores_in_flight=8, episodes=episodes_spec(run, str(llama_folder))
    )
    engine = Engine(AutoTokenizer.from_pretrained(llama_folder).eos_token_id)

    async def scenario() -> None:
        first: Any = Actor(config=ENVIRONMENT)
        host = GroupHost([Rewards()], spec, [first])  # type: ignore[list-item]
        await host.set_engines([state(engine)])
        group = await host.run(request("0/0"))
        assert [each.world.rewards for each in group.trajectories if each.world] == [{"turns": 2.0}] * 2
        assert [each.num_turns for each in group.trajectories] == [2, 2]
        assert engine.given[-1][: len(engine.given[0])] == engine.given[0]
        first.death.set()
        other: Any = Actor(config=ENVIRONMENT)
        await host.set_environments([other])
        assert len((await host.run(request("0/1"))).trajectories) == 2

    asyncio.run(asyncio.wait_for(scenario(), 30))


def request(group_id: str) -> GroupRequest:
    return GroupRequest(group_id=group_id, prompt=prompt(), group_size=2, sampling=Sampling(1.0, 1.0, 16), seed=0)


def test_conversations_are_of_the_runs_template(tmp_path: Path) -> None:
    assert conversation_settings(episodes_spec(config(tmp_path), "m")) == ConversationSettings(
        model="m", renderer="auto", keep_reasoning=False, template="none", template_arguments={}
    )
