"""mini-swe-agent on a toy repository whose tests are the reward: a model that was fine-tuned on one solved dialogue of
it solves a part of its group, the model that it was made of nothing."""

from __future__ import annotations

import json
import os
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
import yaml

from r1ray.environments.agent import Agent
from r1ray.examples.smollm2.with_tools import save_model_with_tools
from r1ray.telemetry.rollouts import read_rollouts
from tests.environments.agents.endpoint import call, serving
from tests.environments.test_agent import played
from tests.environments.test_other_agents import MINI, ROW, SOLVING, asked, installed
from tests.real.running import metrics, r1ray

pytestmark = [pytest.mark.real, pytest.mark.long, pytest.mark.needs("smollm2")]
EPOCHS = 4
"""Updates with the one dialogue. After these its hundred tokens have a probability of about 0.4 at temperature 1, so
that the model solves a part of its group. After three it is 0.01, after six 0.9, and a group has nothing to compare."""
GROUP = 8
FINE_TUNING = (
    *("recipe=sft", f"supervised.epochs={EPOCHS}", "supervised.sequences_per_step=1", "supervised.max_tokens=2048"),
    *(
        "supervised.eval_every=0",
        "learner.lr=5e-5",
        "learner.schedule=constant",
        "learner.lr_floor=0",
        "learner.warmup_updates=0",
    ),
)
LEARNER = (
    "learner.dtype=float32",
    "learner.zero_stage=0",
    "learner.threads=2",
    "learner.max_tokens_per_microbatch=2048",
)
STEP = (
    *("algo=dr_grpo", "steps=1", "algo.prompts_per_step=1", f"algo.group_size={GROUP}", "algo.minibatches_per_step=1"),
    *("algo.max_completion_tokens=64", "data.max_prompt_tokens=1024", "environment.max_trajectory_tokens=1024"),
    *("rollout.dtype=float32", "rollout.threads=2", "rollout.max_num_seqs=8", "rollout.num_actors=1"),
    *("eval.every=0", "checkpoint.every=0", "learner.warmup_updates=0", "learner.lr=1e-5"),
)


@pytest.fixture(scope="module")
def untrained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("untrained")
    save_model_with_tools(folder)
    return folder


@pytest.fixture(scope="module")
def solved() -> dict[str, Any]:
    """A dialogue of mini-swe-agent that its judge pays, as a row to learn from: its last call, and what it answered."""
    said: list[dict[str, Any]] = []

    def reply(messages: list[dict[str, Any]]) -> dict[str, Any]:
        made = call("bash", command=SOLVING[sum(each["role"] == "assistant" for each in messages)])
        said[:] = [*messages, made]
        return made

    with serving(reply) as endpoint:
        done = played(Agent(**installed("mini-swe-agent")), asked(), endpoint.access, out_of_time_s=100)
    assert done.rewards["judge"] == 1.0
    return {"messages": said, "tools": endpoint.asked[-1]["tools"]}


def step(model: Path, work: Path) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Make one step with a model in mini-swe-agent. Returns its metrics, and its trajectories."""
    work.mkdir()
    options, shown = installed("mini-swe-agent"), deepcopy(MINI)
    program, *words = options["command"]
    shown["environment"]["worlds"]["mini"]["options"] = {**options, "command": [os.path.abspath(program), *words]}
    (work / "conf" / "experiment").mkdir(parents=True)
    (work / "conf" / "experiment" / "mini.yaml").write_text(f"# @package _global_\n{yaml.safe_dump(shown)}")
    (work / "repositories.jsonl").write_text(json.dumps(ROW) + "\n")
    overrides = ("experiment=mini", f"model={model}", "name=mini", "output_dir=.", *LEARNER, *STEP)
    print(r1ray("run", "--config-dir", "conf", *overrides, cwd=work, timeout_s=1200)[-3000:])
    (row,) = [each for each in metrics(work / "mini") if each["step"] == 1]
    return row, list(read_rollouts(work / "mini" / "rollouts"))


def test_a_group_of_a_model_that_learned_one_solved_dialogue_has_both_rewards_and_a_gradient(
    tmp_path: Path, untrained: Path, solved: dict[str, Any]
) -> None:
    (tmp_path / "solved.jsonl").write_text(json.dumps(solved) + "\n")
    files = (f"model={untrained}", "supervised.train=solved.jsonl", "name=tuned", "output_dir=.")
    print(r1ray("run", *FINE_TUNING, *LEARNER, *files, cwd=tmp_path, timeout_s=1200)[-2000:])
    (tuned,) = (tmp_path / "tuned" / "hf").iterdir()

    found, trajectories = step(tuned, tmp_path / "of_tuned")
    rewards = [each["rewards"]["judge"] for each in trajectories]
    print(f"fine-tuned: rewards {rewards}, gradient {found['grad_norm']:.3g}")
    assert len(rewards) == GROUP and set(rewards) == {0.0, 1.0}
    assert found["grad_norm"] > 0


def test_a_group_of_the_untrained_model_has_no_reward_and_no_gradient(tmp_path: Path, untrained: Path) -> None:
    found, trajectories = step(untrained, tmp_path / "of_untrained")
    rewards = [each["rewards"]["judge"] for each in trajectories]
    print(f"untrained: rewards {rewards}, gradient {found['grad_norm']:.3g}")
    assert rewards == [0.0] * GROUP and found["grad_norm"] == 0
