"""The supervised stages with a fake learner: files in, a model folder out; mistakes found before anything starts."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from r1ray.config import CheckpointConfig, DataConfig, LearnerConfig, RewardConfig, RunConfig, SupervisedConfig
from r1ray.data.position import Position
from r1ray.errors import UserError
from r1ray.loop.checkpoint import Checkpoints
from r1ray.loop.supervised_loop import loop_state
from r1ray.stages.base import Artifact, Context
from r1ray.stages.extend import add_tokens
from r1ray.stages.fine_tune import StepLines, SupervisedTraining
from r1ray.telemetry.rollouts import EVALUATION, read_rollouts
from r1ray.types import Scored, Shard, StepStats
from tests.fakes import Events, FakeEngine, FakeGroups, FakeRunning, FakeScorer
from tests.listening import listening
from tests.loop.test_supervised_loop import FakeSupervisedLearner

SUMS = [{"question": f"What is {a}+{b}?", "answer": str(a + b)} for a in range(3) for b in range(3)]
PAIRS = [{"prompt": row["question"], "chosen": row["answer"], "rejected": "no"} for row in SUMS]


class Learner(FakeSupervisedLearner):
    """Its held-out loss falls as it is trained."""

    async def evaluate_rows(self, shards: Sequence[Shard], rows: Mapping[str, Any]) -> StepStats:
        return StepStats({"loss": 2.0 / (1 + len(self.trained))}, trained_tokens=0, padding_tokens=0)


@dataclass
class Started:
    """In the place of a learner group on Ray."""

    learner: Learner = field(default_factory=Learner)
    orders: list[dict[str, Any]] = field(default_factory=list)
    num_shut_down: int = 0

    async def __call__(self, config: RunConfig, **order: Any) -> Started:
        self.orders.append(order)
        return self

    def shutdown(self) -> None:
        self.num_shut_down += 1


def jsonl(path: Path, rows: Sequence[dict[str, Any]]) -> str:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(path)


def make_config(tmp_path: Path, model: Path, *, rows: Sequence[dict[str, Any]] = SUMS, **keywords: Any) -> RunConfig:
    path = jsonl(tmp_path / "train.jsonl", rows)
    settings = {"train": path, "eval": path, "sequences_per_step": 4, "max_tokens": 64} | keywords
    return RunConfig(
        recipe="sft",
        model=str(model),
        data=DataConfig(template="none"),
        learner=LearnerConfig(max_tokens_per_microbatch=128),
        supervised=SupervisedConfig(**settings),
        checkpoint=CheckpointConfig(every=2),
    )


def run(
    tmp_path: Path, config: RunConfig, *, objective: str = "sft", started: Started | None = None
) -> tuple[Artifact, Started, list[str]]:
    started, said = started or Started(), list[str]()
    stage = SupervisedTraining(config, objective=objective, launch=started)
    with listening(said.append):
        artifact = stage.run(Context(tmp_path / "run", tmp_path / "shared"), {}, "d")
    return artifact, started, said


def test_a_file_and_a_model_become_a_model_folder_metrics_and_a_plot(tmp_path: Path, llama_folder: Path) -> None:
    artifact, started, said = run(tmp_path, make_config(tmp_path, llama_folder))
    assert artifact.path == str(tmp_path / "run" / "hf" / "5") and Path(artifact.path, "model.safetensors").exists()
    assert artifact.metrics["loss"] == pytest.approx(2 / 6) and artifact.metrics["steps"] == 5
    assert started.orders == [
        {"model": str(llama_folder.resolve()), "learner": "r1ray.learner.sft:SFTLearner", "num_updates": 5}
    ]
    assert started.num_shut_down == 1 and (tmp_path / "run" / "curves.png").exists()
    lines = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == [0, 1, 2, 3, 4, 5] and {line["stage"] for line in lines} == {"sft"}
    assert "supervised.train: 9 dialogues in the layout of Hugging Face" in said[0]
    assert f"stage sft: the model is in {artifact.path}" in said
    (shown,) = [text for text in said if text.startswith("supervised.train: the first rows as the learner reads them")]
    assert shown.splitlines()[1:] == ["  row 1: What is 0+0?[[0<eos>]]", "  row 2: What is 0+1?[[1<eos>]]"]


def test_exports_are_made_on_the_way_and_an_end_that_is_done_again_keeps_the_one_that_is_there(
    tmp_path: Path, llama_folder: Path
) -> None:
    config = make_config(tmp_path, llama_folder)
    config.checkpoint.export_every = 2
    artifact, _, _ = run(tmp_path, config)
    folder = tmp_path / "run" / "hf"
    assert sorted(path.name for path in folder.iterdir()) == ["2", "4", "5"]
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*")}
    assert run(tmp_path, config)[0].path == artifact.path
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("*")} == before


def test_a_generation_config_that_cannot_be_read_is_found_before_anything_starts(
    tmp_path: Path, llama_folder: Path
) -> None:
    model, started = Path(shutil.copytree(llama_folder, tmp_path / "model")), Started()
    (model / "generation_config.json").write_text("{")
    with pytest.raises(UserError, match=f"{model}/generation_config.json: transformers cannot read it"):
        run(tmp_path, make_config(tmp_path, model), started=started)
    assert started.orders == []


def test_preferences_are_pairs_for_the_other_learner(tmp_path: Path, llama_folder: Path) -> None:
    config = make_config(tmp_path, llama_folder, rows=PAIRS, epochs=1)
    artifact, started, said = run(tmp_path, config, objective="preference")
    assert started.orders[0]["learner"] == "r1ray.learner.preference:PreferenceLearner"
    assert artifact.path.endswith("/hf/3") and "9 pairs" in said[0]
    assert said[1].splitlines()[1:5] == [
        "  row 1: What is 0+0?",
        "    chosen: [[0<eos>]]",
        "    rejected: [[no<eos>]]",
        "    margin: 0",
    ]


@pytest.mark.faults
def test_an_interrupted_stage_goes_on_at_its_checkpoint(tmp_path: Path, llama_folder: Path) -> None:
    config, started = make_config(tmp_path, llama_folder), Started()
    run(tmp_path, config, started=started)
    whole = started.learner.trained
    for name in ("4", "5"):
        (tmp_path / "run" / "checkpoints" / name).rename(tmp_path / f"gone-{name}")
    checkpoints = Checkpoints(tmp_path / "run" / "checkpoints", keep=2)
    aside = checkpoints.begin(2)
    (aside / "learner" / "weights").write_text("w")
    checkpoints.commit(aside, loop_state(2, Position(0, 8)))
    exports = tmp_path / "run" / "hf"
    for name in ("1", "2", "3", ".writing-4"):
        (exports / name).mkdir()
    _, again, _ = run(tmp_path, config)
    assert sorted(path.name for path in exports.iterdir()) == ["1", "2", "5"], "3 was of steps that are made anew"
    assert again.learner.loaded is not None and again.learner.trained == whole[2:]
    lines = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == [0, 1, 2, 3, 4, 5]


def test_checkpoints_of_other_inputs_are_not_gone_on_from(tmp_path: Path, llama_folder: Path) -> None:
    config = make_config(tmp_path, llama_folder)
    run(tmp_path, config)
    with pytest.raises(UserError, match="has checkpoints of a run with other inputs"):
        run(tmp_path, make_config(tmp_path, llama_folder, rows=SUMS[1:]))


@pytest.mark.faults
def test_a_crash_still_ends_the_learner(tmp_path: Path, llama_folder: Path) -> None:
    started = Started()
    started.learner.crash = RuntimeError("planted")
    with pytest.raises(RuntimeError, match="planted"):
        run(tmp_path, make_config(tmp_path, llama_folder), started=started)
    assert started.num_shut_down == 1


@pytest.mark.parametrize(
    ("rows", "keywords", "message"),
    [
        ([{"text": "x"}], {}, r"supervised.train=.*found the columns text .*; needs those of one of"),
        ([{"question": 3, "answer": "a"}], {}, r"1 malformed rows of 1: row 1: question needs a string"),
        (SUMS, {"max_tokens": 5}, r"supervised.max_tokens=5: none of the rows"),
        (SUMS, {"eval": "/no/such.jsonl"}, r"supervised.eval=/no/such.jsonl: no such file"),
    ],
)
def test_mistakes_are_found_before_anything_starts(
    tmp_path: Path, llama_folder: Path, rows: list[dict[str, Any]], keywords: dict[str, Any], message: str
) -> None:
    started = Started()
    with pytest.raises(UserError, match=message):
        run(tmp_path, make_config(tmp_path, llama_folder, rows=rows, **keywords), started=started)
    assert started.orders == []


def test_more_tokens_than_the_model_can_read_are_refused(tmp_path: Path, llama_folder: Path) -> None:
    config = make_config(tmp_path, llama_folder)
    config.supervised.max_tokens = 4096
    with pytest.raises(UserError, match=r"supervised.max_tokens=4096: the context of model=.* has 1024 tokens"):
        run(tmp_path, config)


def test_answers_in_the_cold_starts_pattern_need_a_tokenizer_with_its_token(tmp_path: Path, llama_folder: Path) -> None:
    rows = [*SUMS, {"question": "1+1", "answer": "<|reasoning|>one and one<|reasoning|>2"}]
    started = Started()
    message = r"which 1 answers in supervised\.train=.* are written with, is no token .*r1ray run recipe=extend model="
    for _ in range(2):  # the second time the tokens are there already
        with pytest.raises(UserError, match=message):
            run(tmp_path, make_config(tmp_path, llama_folder, rows=rows), started=started)
    assert started.orders == []
    extended = tmp_path / "extended"
    add_tokens(str(llama_folder), ["<|reasoning|>"], extended)
    run(tmp_path, make_config(tmp_path, extended, rows=rows), started=started)


def test_the_chat_template_has_to_be_there(tmp_path: Path, llama_folder: Path) -> None:
    config = make_config(tmp_path, llama_folder)
    config.data.template = "chat"
    with pytest.raises(UserError, match=r"data.template=chat: the tokenizer of model=.* has no chat template"):
        run(tmp_path, config)


def test_what_was_left_out_is_said(tmp_path: Path, llama_folder: Path) -> None:
    rows = [*SUMS, {"question": "q", "answer": ""}, {"question": "q", "answer": "x" * 200}]
    _, _, said = run(tmp_path, make_config(tmp_path, llama_folder, rows=rows, eval=None))
    assert said[1] == "supervised.train: 1 rows of more than supervised.max_tokens=64 are left out"
    assert "1 because answer is empty (first: row 10)" in said[2]


def test_settings_are_what_decides(tmp_path: Path, llama_folder: Path) -> None:
    config = make_config(tmp_path, llama_folder)
    settings = SupervisedTraining(config, objective="sft").settings()
    config.deadlines.learn_s, config.rollout.num_actors, config.steps = 1.0, 7, 3
    assert SupervisedTraining(config, objective="sft").settings() == settings
    config.supervised.epochs = 9
    assert SupervisedTraining(config, objective="sft").settings() != settings


def test_a_line_has_the_metrics_that_a_user_watches(said: list[str]) -> None:
    lines = StepLines(num_steps=8)
    row = {"step": 1.0, "epoch": 0.25, "loss/total": 1.5, "throughput/trained_tokens_per_s": 100.0}
    lines.step({"step": 0.0, "eval/mine/loss": 2.0})
    lines.step(row)
    lines.step(row | {"step": 2.0, "train/accuracy": 0.75, "eval/mine/accuracy": 0.5})
    assert said[0] == "step 0  held-out: loss 2.0000"
    assert said[1].startswith("1/8  epoch 0.25  loss 1.5000  100 tokens/s  left ")
    assert "accuracy 0.750" in said[2] and "held-out: accuracy 0.5000" in said[2]


# ---------------------------------------------------------------------- answers before and after


def test_the_model_answers_held_out_prompts_before_and_after_and_the_answers_are_kept(
    tmp_path: Path, llama_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []

    async def launch(config: Any, *, model: str, **more: object) -> FakeRunning:
        asked.append(model)
        is_tuned = "/hf/" in model
        reward = lambda trajectory: Scored(1.0, {"accuracy": float(is_tuned or trajectory.index == 0)})  # noqa: E731
        return FakeRunning(FakeGroups(FakeEngine(Events()), FakeScorer(reward)))

    class Whole(Learner):
        async def export(self, folder: Path, *, checkpoint: Path | None = None) -> None:
            shutil.copytree(llama_folder, folder)

    monkeypatch.setattr("r1ray.stages.evaluate.missing.launch_evaluation", launch)
    held_out = jsonl(tmp_path / "held_out.jsonl", [{"prompt": f"1+{n}?", "answer": str(1 + n)} for n in range(6)])
    config = make_config(tmp_path, llama_folder)
    settings, data = replace(config.supervised, samples=2), DataConfig(template="none", eval=held_out)
    config = replace(config, data=data, supervised=settings, reward=RewardConfig(parts={"accuracy": {}}))
    artifact, _, said = run(tmp_path, config, started=Started(Whole()))
    assert asked == [str(llama_folder.resolve()), artifact.path]
    assert (artifact.metrics["pass@1"], artifact.metrics["change/pass@1"]) == (1.0, 0.5)
    assert artifact.metrics["steps"] == 5, "training has its own"
    rollouts = tmp_path / "run" / "rollouts"
    rows = list(read_rollouts(rollouts, step=5, name=EVALUATION))
    assert len(rows) == 12 and {row["group_status"] for row in rows} == {"evaluated"}
    assert (rows[0]["prompt_text"], rows[0]["response_text"], rows[0]["reward"]) == ("1+0?", "x", 1.0)
    assert [row["reward"] for row in read_rollouts(rollouts, step=0, name=EVALUATION)] == [1.0, 0.0] * 6
    assert "pass@1, last minus first evaluation: +0.500" in "\n".join(said)
    assert said[-1] == f"stage sft: the model is in {artifact.path}"


def test_answers_need_held_out_prompts_and_a_policy(tmp_path: Path, llama_folder: Path) -> None:
    with pytest.raises(ValueError, match=r"supervised\.samples=2: .*needs recipe=sft and data\.eval=PATH"):
        make_config(tmp_path, llama_folder, samples=2)
