from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from r1ray.config import EvaluationConfig
from r1ray.errors import UserError
from r1ray.evaluation.records import Answered, Sample, to_json
from r1ray.main import compose, main
from r1ray.runtime.folder_lock import locked
from r1ray.stages.evaluate.stage import Evaluation, evaluate_models
from tests.listening import listening

HOLDER = """
import sys, time
from pathlib import Path
from r1ray.runtime.folder_lock import locked
with locked(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(60)
"""


def test_a_folder_is_held_by_one_at_a_time_and_free_afterwards(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    for _ in range(2):
        with locked(folder), pytest.raises(UserError, match="another process works there") as raised, locked(folder):
            pass
        holder = f"process {os.getpid()} on {socket.gethostname()}, since 2"
        assert str(folder) in str(raised.value) and holder in str(raised.value)


@pytest.mark.faults
def test_a_killed_process_leaves_no_lock(tmp_path: Path) -> None:
    process = subprocess.Popen([sys.executable, "-c", HOLDER, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None and process.stdout.readline() == "held\n"
        with pytest.raises(UserError, match=f"process {process.pid} on"), locked(tmp_path):
            pass
        process.send_signal(signal.SIGKILL)
    finally:
        process.kill()
        process.communicate(timeout=30)
    with locked(tmp_path):
        assert f"process {os.getpid()} on" in (tmp_path / ".lock").read_text()


def test_a_shared_folder_is_waited_for_until_its_holder_ends(tmp_path: Path) -> None:
    said: list[str] = []
    process = subprocess.Popen([sys.executable, "-c", HOLDER, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None and process.stdout.readline() == "held\n"

        def ends_the_holder(text: str) -> None:
            said.append(text)
            process.kill()

        with listening(ends_the_holder), locked(tmp_path, wait_s=30):
            pass
    finally:
        process.kill()
        process.communicate(timeout=30)
    (line,) = said
    assert f"process {process.pid} on" in line and "waiting for it, at most 30 s" in line


def test_what_cannot_be_made_or_is_no_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match=r"output_dir: .* cannot be made or written to"), locked(tmp_path / "file"):
        pass


def test_without_locks_the_work_goes_on_and_the_user_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, said: list[str]
) -> None:
    def flock(file: object, how: int) -> None:
        raise OSError(38, "Function not implemented")

    monkeypatch.setattr("r1ray.runtime.folder_lock.fcntl.flock", flock)
    with locked(tmp_path):
        assert "its file system has no locks" in said[0]


def test_the_same_command_twice_at_once_is_refused_by_name(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, qwen_folder: Path, arithmetic_jsonl: Path
) -> None:
    command = ["run", f"model={qwen_folder}", f"data.train={arithmetic_jsonl}", f"output_dir={tmp_path}", "name=mine"]
    with locked(tmp_path / "mine"):
        assert main(command) == 2
    error = capsys.readouterr().err
    assert f"{tmp_path / 'mine'}: another process works there: process {os.getpid()}" in error
    assert not (tmp_path / "mine" / "config.yaml").exists()


def test_an_evaluation_that_another_process_asks_is_waited_for_and_not_asked_again(
    tmp_path: Path, llama_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[Evaluation] = []

    async def ask(config: object, model: str, evaluations: list[Evaluation]) -> None:
        asked.extend(evaluations)
        raise UserError("engines start here")

    monkeypatch.setattr("r1ray.stages.evaluate.stage._ask", ask)
    overrides = [f"model={llama_folder}", "benchmarks=math_500", "data=miniature", f"output_dir={tmp_path}"]
    config = compose([*overrides, "template=none"], schema=EvaluationConfig, name="eval")
    with pytest.raises(UserError, match="engines start here"):
        evaluate_models(config)
    (one,) = asked
    said: list[str] = []
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
    assert f"another process works there: process {os.getpid()} on" in said[0]
    assert result["figures"]["pass@1"]["value"] == 1.0


def right_answers(evaluation: Evaluation) -> Iterator[str]:
    """The lines of samples.jsonl."""
    sample = Sample(
        text="", num_tokens=1, is_truncated=False, extracted="1", value=1.0, figures={"accuracy": 1.0}, detail=""
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

    monkeypatch.setattr("r1ray.stages.evaluate.stage.launch_evaluation", launch)
    monkeypatch.setattr("r1ray.stages.evaluate.stage.WAIT_S", 0.1)
    command = ["eval", f"model={llama_folder}", "benchmark=math_500", "data=miniature", f"output_dir={tmp_path}"]
    command += ["template=none"]
    assert main(command) == 2 and started == ["engines"]
    (folder,) = (tmp_path / "evaluations").glob("math_500-*")
    with locked(folder):
        assert main(command) == 2
    assert started == ["engines"]
    said = capsys.readouterr().err
    assert f"{folder}: another process works there: process {os.getpid()}" in said and "Waited 0.1 s for it." in said
