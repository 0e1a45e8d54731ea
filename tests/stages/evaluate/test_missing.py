"""Answers that are missing are asked for once, by one process at a time."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from r1ray.commands.compose import compose
from r1ray.config import EvaluationConfig
from r1ray.errors import UserError
from r1ray.evaluation.records import Answered, Sample, to_json
from r1ray.main import main
from r1ray.runtime.folder_lock import locked
from r1ray.stages.evaluate.evaluation import Evaluation
from r1ray.stages.evaluate.stage import evaluate_models
from tests.listening import listening


def test_an_evaluation_that_another_process_asks_is_waited_for_and_not_asked_again(
    tmp_path: Path, llama_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[Evaluation] = []

    async def ask(config: object, model: str, evaluations: list[Evaluation], worlds: object) -> None:
        asked.extend(evaluations)
        raise UserError("engines start here")

    monkeypatch.setattr("r1ray.stages.evaluate.missing._ask", ask)
    overrides = [f"model={llama_folder}", "benchmarks=math_500", "data=miniature", f"output_dir={tmp_path}"]
    config = compose([*overrides, "template=none"], schema=EvaluationConfig, name="eval")
    said: list[str] = []
    with pytest.raises(UserError, match="engines start here"), listening(said.append):
        evaluate_models(config)
    (one,) = asked
    (shown,) = [text for text in said if "the first prompts as the model reads them" in text]
    assert shown.startswith(f"{one.name}: ") and shown.count("  reference: math, answer") == 2
    said.clear()
    with ExitStack() as other:
        other.enter_context(locked(one.folder))

        def answers_all(text: str) -> None:
            said.append(text)
            if "waiting for it" in text:
                (one.folder / "samples.jsonl").write_text("".join(right_answers(one)))
                other.close()

        with listening(answers_all):
            (result,) = evaluate_models(config)
    assert len(asked) == 1
    assert not any("the first prompts" in text for text in said), "nothing is asked"
    assert f"another process works there: process {os.getpid()} on" in said[0]
    assert result["metrics"]["pass@1"]["value"] == 1.0


def right_answers(evaluation: Evaluation) -> Iterator[str]:
    """The lines of samples.jsonl."""
    sample = Sample(
        text="", num_tokens=1, is_truncated=False, extracted="1", value=1.0, metrics={"accuracy": 1.0}, detail=""
    )
    for number, prompt in enumerate(evaluation.prompts):
        samples = (sample,) * evaluation.task.samples
        answered = Answered(id=prompt.id, groups={}, num_prompt_tokens=1, samples=samples, classes=None)
        yield json.dumps({"number": number, **to_json(answered)}) + "\n"


def test_an_evaluation_is_not_waited_for_for_ever(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, llama_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[str] = []

    def launch(*arguments: object, **keywords: object) -> None:
        started.append("engines")
        raise UserError("engines start here")

    monkeypatch.setattr("r1ray.stages.evaluate.missing.launch_evaluation", launch)
    monkeypatch.setattr("r1ray.stages.evaluate.missing.WAIT_S", 0.1)
    command = ["eval", f"model={llama_folder}", "benchmark=math_500", "data=miniature", f"output_dir={tmp_path}"]
    command += ["template=none"]
    assert main(command) == 2 and started == ["engines"]
    (folder,) = (tmp_path / "evaluations").glob("math_500-*")
    with locked(folder):
        assert main(command) == 2
    assert started == ["engines"]
    said = capsys.readouterr().err
    assert f"{folder}: another process works there: process {os.getpid()}" in said and "Waited 0.1 s for it." in said
