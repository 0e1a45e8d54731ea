"""``r1ray eval prompts=...`` from files to the spread, on a real group worker and a fake engine and scorer."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from r1ray.commands.compose import compose
from r1ray.config import EvaluationConfig
from r1ray.errors import UserError
from r1ray.stages.evaluate.stage import evaluate_models
from r1ray.types import Prompt, Scored, ScoredTrajectory, Trajectory
from tests.fakes import Events, FakeEngine, FakeGroups, FakeRunning, FakeScorer

NUM_QUESTIONS = 8


class MindsExamples(FakeScorer):
    """Right, but for every second question after examples."""

    def __init__(self) -> None:
        super().__init__()
        self.texts: list[str] = []

    async def score(self, prompt: Prompt, trajectory: Trajectory) -> ScoredTrajectory:
        self.texts.append(prompt.text)
        is_wrong = prompt.text.startswith("1+1?") and int(prompt.id) % 2
        value = 0.0 if is_wrong else 1.0
        return ScoredTrajectory.of(trajectory, Scored(value, {"accuracy": value}), extracted="1")


@pytest.fixture(autouse=True)
def scorer(monkeypatch: pytest.MonkeyPatch) -> MindsExamples:
    made = MindsExamples()

    async def launch(*arguments: object, **keywords: object) -> FakeRunning:
        return FakeRunning(FakeGroups(FakeEngine(Events()), made))

    monkeypatch.setattr("r1ray.stages.evaluate.missing.launch_evaluation", launch)
    return made


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path]:
    """Questions, and worked examples."""
    rows = [
        {"id": str(i), "prompt": f"{i}+5?", "check": {"type": "math", "answer": str(i + 5)}}
        for i in range(NUM_QUESTIONS)
    ]
    shots = [
        {"prompt": "1+1?", "response": "2"},
        {"prompt": "2+2?", "response": "4"},
        {"prompt": "3+3?", "response": "6"},
    ]
    paths = tmp_path / "rows.jsonl", tmp_path / "shots.jsonl"
    for path, content in zip(paths, (rows, shots), strict=True):
        path.write_text("".join(json.dumps(row) + "\n" for row in content))
    return paths


def asked(tmp_path: Path, model: Path, data: Path, *overrides: str) -> EvaluationConfig:
    own: list[Any] = [f"model={model}", "benchmarks=prompts", f"data={data}", f"output_dir={tmp_path / 'runs'}"]
    made = compose(
        [*own, "template=none", "samples=2", "max_tokens=8", *overrides], schema=EvaluationConfig, name="eval"
    )
    assert isinstance(made, EvaluationConfig)
    return made


def test_every_question_is_asked_in_every_prompt_and_the_spread_is_told(
    tmp_path: Path, llama_folder: Path, files: tuple[Path, Path], scorer: MindsExamples, said: list[str]
) -> None:
    data, shots = files
    prompts = ["prompts=[zero_shot,few_shot,paraphrases]", f"shots={shots}", "num_shots=2"]
    results = evaluate_models(asked(tmp_path, llama_folder, data, *prompts))
    names = ["zero_shot", "few_shot", *(f"paraphrase_{number}" for number in (1, 2, 3, 4))]
    assert [each["prompt"] for each in results] == names
    assert len(scorer.texts) == 2 * NUM_QUESTIONS * len(names)
    assert {"0+5?", "1+1?2\n2+2?4\n0+5?", "Solve this problem.\n\n0+5?"} <= {*scorer.texts}
    spread = results[0]["prompts"]
    assert all(each["prompts"] == spread for each in results)
    assert spread["pass@1"]["few_shot"]["value"] == 0.5 and spread["pass@1"]["zero_shot"]["value"] == 1.0
    assert spread["spread"]["value"] == 0.5 and (spread["lowest"], spread["p_value"] < 0.05) == ("few_shot", True)
    kept = json.loads(Path(spread["path"]).read_text())
    assert kept == {key: value for key, value in json.loads(json.dumps(spread)).items() if key != "path"}
    kept_answers = {path.parent.name for path in (tmp_path / "runs/evaluations").glob("*/samples.jsonl")}
    assert {*spread["evaluations"].values()} == kept_answers
    (table,) = (each for each in said if "pass@1 of 6 prompts, 8 questions x 2 samples" in each)
    assert "few_shot" in table and "spread" in table
    assert any("lowest few_shot; a spread of" in each for each in said)


def test_what_was_answered_is_not_asked_again_also_without_prompts(
    tmp_path: Path, llama_folder: Path, files: tuple[Path, Path], scorer: MindsExamples
) -> None:
    data, _ = files
    evaluate_models(asked(tmp_path, llama_folder, data))
    evaluate_models(asked(tmp_path, llama_folder, data, "prompts=[zero_shot,'Q: {question}']"))
    assert len(scorer.texts) == 2 * 2 * NUM_QUESTIONS
    (alone,) = evaluate_models(asked(tmp_path, llama_folder, data, "prompts=['Q: {question}']"))
    assert len(scorer.texts) == 2 * 2 * NUM_QUESTIONS and "prompts" not in alone


def test_two_models_have_a_spread_each(
    tmp_path: Path, llama_folder: Path, qwen_folder: Path, files: tuple[Path, Path]
) -> None:
    data, shots = files
    prompts = ["prompts=[zero_shot,few_shot]", f"shots={shots}", f"against={qwen_folder}"]
    results = evaluate_models(asked(tmp_path, llama_folder, data, *prompts))
    assert [(each["prompt"], each["prompts"]["model"]) for each in results] == [
        *(("zero_shot", str(llama_folder)), ("few_shot", str(llama_folder))),
        *(("zero_shot", str(qwen_folder)), ("few_shot", str(qwen_folder))),
    ]


def test_examples_that_are_questions_or_lack_a_column_are_refused(
    tmp_path: Path, llama_folder: Path, files: tuple[Path, Path]
) -> None:
    data, shots = files
    shots.write_text('{"prompt": "3+5?", "response": "8"}\n')
    prompts = ["prompts=[few_shot]", f"shots={shots}"]
    with pytest.raises(UserError, match=r"^shots: one of them is question 3 of prompts"):
        evaluate_models(asked(tmp_path, llama_folder, data, *prompts))
    shots.write_text('{"question": "3+9?", "response": "12"}\n')
    with pytest.raises(UserError, match=r"^shots=.*shots.jsonl: row 1 has no prompt; needs prompt and response"):
        evaluate_models(asked(tmp_path, llama_folder, data, *prompts))


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["prompts=[]"], r"^prompts=\[\]: needs some"),
        (["prompts=[zero_shot,zero_shot]"], "each once"),
        (["prompts=[one_shot]"], r"prompts=one_shot: needs one of zero_shot, few_shot, paraphrases, or a text with"),
        (["prompts=[few_shot]"], r"^shots=None with prompts=.*needs both"),
        (["shots=s.jsonl"], r"^shots=s.jsonl with prompts=None.*needs both"),
    ],
)
def test_prompts_that_cannot_be_made_are_refused(tmp_path: Path, overrides: list[str], message: str) -> None:
    with pytest.raises(UserError, match=message):
        asked(tmp_path, tmp_path, tmp_path, *overrides)
