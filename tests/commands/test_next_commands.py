from __future__ import annotations

import json
import shlex
from dataclasses import replace
from pathlib import Path

import pytest

from r1ray.commands.compose import compose
from r1ray.commands.next_commands import next_commands
from r1ray.config import EvaluationConfig, RunConfig


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
