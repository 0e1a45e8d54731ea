"""Evaluations whose questions are answered in environments, on a real group worker and a fake engine and scorer."""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from r1ray.commands.compose import compose
from r1ray.commands.evaluate import evaluate_benchmarks
from r1ray.config import EvaluationConfig
from r1ray.config.specs import EpisodesSpec
from r1ray.errors import UserError
from r1ray.stages.evaluate.in_worlds import EvalWorlds
from r1ray.stages.evaluate.stage import evaluate_models
from r1ray.stages.evaluate.task import tasks_of
from r1ray.turns import InEnvironment
from r1ray.types import GroupRequest, Prompt, ScoredGroup
from tests.fakes import Events, FakeEngine, FakeGroups, FakeScorer

MAZE = (
    "+environment.worlds.maze={path: 'tests.real.worlds:TwoTurns'}",
    "+reward.parts.longer={weight: 1.0, from_environment: true}",
)


class Fussy:
    """Takes no question with a two in it."""

    def reset(self, prompt: Prompt, seed: int) -> None:
        return None

    def step(self, action: object) -> str:
        return "go on"

    def row_problem(self, prompt: Prompt) -> str | None:
        return "it has a two" if "2" in prompt.messages[-1].content else None


class GroupsInWorlds(FakeGroups):
    async def run(self, request: GroupRequest) -> ScoredGroup:
        assert not request.prompt.environment or request.prompt.messages
        group = await super().run(replace(request, prompt=replace(request.prompt, environment="")))
        if not request.prompt.environment:
            return group
        world = InEnvironment(name=request.prompt.environment, seconds=2.0)
        return replace(group, trajectories=tuple(replace(each, world=world) for each in group.trajectories))


@dataclass
class Running:
    """In the place of engines, reward actors and environment workers on Ray."""

    groups: FakeGroups = field(default_factory=lambda: GroupsInWorlds(FakeEngine(Events()), FakeScorer()))
    reward_model: None = None

    def shutdown(self) -> None:
        pass


@pytest.fixture
def launched(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """What engines were to be started with."""
    found: list[dict[str, Any]] = []

    async def launch(*arguments: object, **keywords: Any) -> Running:
        found.append(keywords)
        return Running()

    monkeypatch.setattr("r1ray.stages.evaluate.missing.launch_evaluation", launch)
    return found


def configured(tmp_path: Path, *overrides: str, model: object = "any") -> EvaluationConfig:
    rows = [
        {"prompt": "1+1?", "check": {"type": "math", "answer": "2"}, "environment": "maze"},
        {"prompt": "2+2?", "check": {"type": "math", "answer": "4"}},
    ]
    (tmp_path / "a.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    given = [f"model={model}", "benchmarks=prompts", f"data={tmp_path}/a.jsonl", f"output_dir={tmp_path}"]
    return compose([*given, "template=none", "samples=2", *overrides], schema=EvaluationConfig, name="eval")


def worlds_of(config: EvaluationConfig) -> list[str]:
    (task,) = tasks_of(config)
    return [item.environment for item in EvalWorlds(config).usable(task).items]


def test_rows_name_their_environments_and_the_key_is_for_the_others(tmp_path: Path) -> None:
    assert worlds_of(configured(tmp_path, *MAZE)) == ["maze", ""]
    assert worlds_of(configured(tmp_path, *MAZE, "in_environment=maze")) == ["maze", "maze"]
    published = configured(tmp_path, *MAZE, "benchmarks=math_500", "data=miniature", "in_environment=maze")
    assert set(worlds_of(published)) == {"maze"}


def test_questions_that_an_environment_can_do_nothing_with_are_left_out_and_named(tmp_path: Path) -> None:
    fussy = f"+environment.worlds.maze={{path: '{__name__}:Fussy'}}"
    config = configured(tmp_path, fussy, "in_environment=maze")
    (task,) = tasks_of(config)
    usable = EvalWorlds(config).usable(task)
    assert [item.question for item in usable.items] == ["1+1?"]
    assert usable.report.left_out[-1].endswith("(it has a two)")


def test_results_have_the_same_metrics_for_each_environment(
    tmp_path: Path, llama_folder: Path, launched: list[dict[str, Any]]
) -> None:
    config = configured(tmp_path, *MAZE, "max_tokens=20", "environment.max_context_tokens=10", model=llama_folder)
    (result,) = evaluate_models(config)
    maze = result["environments"]["maze"]
    assert (maze["pass@1"]["value"], maze["pass@2"]["value"], maze["wait_s"]["value"]) == (0.5, 1.0, 2.0)
    assert {"reward_mean", "length_mean", "turns_mean", "tool_calls_mean"} <= maze.keys()
    assert result["num_questions"] == 2 and result["metrics"]["pass@2"]["value"] == 1.0
    (asked,) = launched
    episodes: EpisodesSpec = asked["episodes"]
    assert set(asked["worlds"]) == {"maze"}
    assert asked["max_model_len"] == episodes.max_prompt_tokens + 20
    evaluate_models(config)
    assert len(launched) == 1, "everything is answered"
    evaluate_models(configured(tmp_path, *MAZE, "max_tokens=20", "environment.max_turns=3", model=llama_folder))
    assert len(launched) == 2, "other limits, other trajectories"


def test_an_evaluation_without_environments_starts_none(
    tmp_path: Path, llama_folder: Path, launched: list[dict[str, Any]]
) -> None:
    data = ["benchmarks=math_500", "data=miniature", "max_tokens=20"]
    (result,) = evaluate_models(configured(tmp_path, *data, model=llama_folder))
    assert launched[0]["episodes"] is None and "environments" not in result
    assert "environment" not in result["settings"]


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["environment=mase"], r"question .*: .*mase"),
        (["environment=maze", "environment.shares={maze: 1}"], r"environment\.shares: an evaluation asks every"),
        (["environment=maze", "search.methods=[best_of_n]", "reward_model.model=none"], r"search\.methods: .*one turn"),
    ],
)
def test_what_cannot_be_evaluated_is_refused_before_anything_starts(
    tmp_path: Path, overrides: list[str], message: str
) -> None:
    named = overrides[0].replace("environment=", "in_environment=")
    with pytest.raises(UserError, match=message):
        worlds_of(configured(tmp_path, *MAZE, named, *overrides[1:]))


def test_the_key_is_the_name_of_an_environment_and_of_a_section(tmp_path: Path, llama_folder: Path) -> None:
    configured(tmp_path)
    words = [f"model={llama_folder}", "benchmark=prompts", f"data={tmp_path}/a.jsonl", f"output_dir={tmp_path}/out"]
    with pytest.raises(UserError, match=r"nowhere"):
        evaluate_benchmarks([*words, "template=none", *MAZE, "environment=nowhere", "environment.max_turns=2"])
