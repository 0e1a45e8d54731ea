from __future__ import annotations

import json
import shlex
from dataclasses import replace
from pathlib import Path

import pytest

from r1ray.commands.compose import compose
from r1ray.commands.next_commands import next_commands
from r1ray.config import EnvironmentConfig, EvaluationConfig, RunConfig


@pytest.fixture
def model(tmp_path: Path) -> Path:
    folder = tmp_path / "my runs" / "mine" / "hf" / "12"
    folder.mkdir(parents=True)
    (folder / "config.json").write_text(json.dumps({"architectures": ["Qwen3ForCausalLM"]}))
    return folder


@pytest.fixture
def config() -> RunConfig:
    made = compose(["model=m", "data.train=t", "data.template=r1_zero", "algo.max_completion_tokens=33"])
    assert isinstance(made, RunConfig)
    return made


def test_the_commands_can_be_typed_as_they_stand(
    model: Path, config: RunConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    run_dir, held_out = model.parents[1], tmp_path / "held out.parquet"
    held_out.touch()
    config = replace(config, data=replace(config.data, suffix="Let's think: a={b}, [c]"))
    report, chat, evaluate = (
        shlex.split(line) for line in next_commands(run_dir, config, model=model, held_out=str(held_out))
    )
    assert report == ["r1ray", "report", "my runs/mine"] and chat == ["r1ray", "chat", "my runs/mine"]
    words = [word.replace("benchmark=", "benchmarks=") for word in evaluate[2:]]  # as r1ray eval does
    asked = compose(words, schema=EvaluationConfig, name="eval")
    assert isinstance(asked, EvaluationConfig) and evaluate[:2] == ["r1ray", "eval"]
    assert (asked.model, asked.data) == ("my runs/mine/hf/12", "held out.parquet")
    assert (asked.template, asked.suffix, asked.max_tokens) == ("r1_zero", "Let's think: a={b}, [c]", 33)


@pytest.mark.parametrize("held_out", [None, {"a": "a.jsonl"}, "/nowhere/held_out.jsonl"])
def test_what_cannot_be_said_in_a_few_words_is_left_out(model: Path, config: RunConfig, held_out: object) -> None:
    verbs = [line.split()[1] for line in next_commands(model.parents[1], config, model=model, held_out=held_out)]
    assert verbs == ["report", "chat"]


def test_nobody_talks_to_a_model_that_scores_or_to_rows(model: Path, config: RunConfig) -> None:
    (model / "config.json").write_text(json.dumps({"architectures": ["Qwen3ForSequenceClassification"]}))
    for made in (model, model.parent, None):
        (line,) = next_commands(model.parents[1], config, model=made, held_out=None)
        assert line.startswith("r1ray report ")


def test_an_evaluation_in_an_environment_has_its_keys(model: Path, config: RunConfig, tmp_path: Path) -> None:
    held_out = tmp_path / "held_out.parquet"
    held_out.touch()
    words = ["model=m", "data.train=t", "environment=calculator", "environment.max_turns=4", "environment.on_full=end"]
    run = compose([*words, "environment.max_trajectory_tokens=160"])
    assert isinstance(run, RunConfig)
    line = next_commands(model.parents[1], run, model=model, held_out=str(held_out))[-1]
    typed = [word.replace("benchmark=", "benchmarks=") for word in shlex.split(line)[2:]]
    asked = compose(typed, schema=EvaluationConfig, name="eval")
    assert isinstance(asked, EvaluationConfig)
    assert asked.in_environment == "calculator"
    assert (asked.environment.max_turns, asked.environment.max_trajectory_tokens) == (4, 160)
    assert "environment.on_full" not in line


def test_environments_of_the_users_own_are_more_than_a_few_words(
    model: Path, config: RunConfig, tmp_path: Path
) -> None:
    own = replace(config, environment=EnvironmentConfig(worlds={"maze": {"path": "my_worlds:Maze"}}))
    verbs = [line.split()[1] for line in next_commands(model.parents[1], own, model=model, held_out=str(tmp_path))]
    assert verbs == ["report", "chat"]


def test_examples_that_were_collected_are_what_fine_tuning_reads(config: RunConfig, tmp_path: Path) -> None:
    examples, collected = tmp_path / "collected" / "dataset", replace(config, recipe="collect")
    *_, line = next_commands(tmp_path / "collected", collected, model=examples, held_out=None)
    assert shlex.split(line)[1:] == ["run", "recipe=sft", "model=MODEL", f"supervised.train={examples / 'data'}"]
