"""``r1ray run``: a user's mistake is two sentences and exit code 2, and nothing was started."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from omegaconf import OmegaConf

from r1ray.main import main


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str]:
    code = main(["run", *arguments])
    return code, capsys.readouterr().err


@pytest.fixture(autouse=True)
def nothing_starts(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*arguments: object, **keywords: object) -> None:
        raise AssertionError("Ray was started for a run that cannot work")

    monkeypatch.setattr("ray.init", refuse)


def small(folder: Path, data: Path, tmp_path: Path) -> list[str]:
    return [
        *(f"model={folder}", f"data.train={data}", f"output_dir={tmp_path}", "learner.max_tokens_per_microbatch=512"),
        *("algo.group_size=2", "algo.prompts_per_step=2", "algo.minibatches_per_step=1"),
        *("algo.max_completion_tokens=16", "data.max_prompt_tokens=256", "steps=1"),
    ]


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["algo.grop_size=4"], "algo.grop_size: no such key; the nearest is algo.group_size."),
        (["lerner.lr=1"], "lerner.lr: no such key; the nearest is learner.lr."),
        (["reward.sandbox.mode=none"], "reward.sandbox.mode: is called sandbox.mode now."),
        (["model=m", "data.train=t", "algo.group_size=1"], "algo.group_size=1: needs at least 2"),
        (["model=m", "data.train=t", "algo.group_size=x"], "algo.group_size=x: needs a whole number."),
        (["model=m", "data.train=t", "algo.minibatches_per_step=100"], "nearest smaller value that does is 64"),
        (["experiment=quickstar"], "experiment=quickstar: needs one of "),
        (["algo=pepper"], "algo=pepper: needs one of cispo, dapo, deepseekmath,"),
        (["data.train=t"], "model is not set: give model=PATH"),
        (["model=m"], "data.train is not set"),
        (["experiment=quickstart", "rollout.num_actors=500"], "lower one of these keys"),
        (["experiment=quickstart", "learner.num_ranks=500"], "the run needs 501 CPUs (learner.num_ranks=500"),
        (["a=="], "a: no such key"),
        (["experiment=quickstart", "reward.parts.format.function=no.such:thing"], "package.module:function"),
    ],
)
def test_bad_overrides(capsys: pytest.CaptureFixture[str], tmp_path: Path, overrides: list[str], message: str) -> None:
    if "experiment=quickstart" in overrides and "reward.parts.format.function=no.such:thing" in overrides:
        overrides = [*overrides, "prepare.maker=null", "model=m", "data.train=t"]
    code, said = run(capsys, *overrides, f"output_dir={tmp_path}")
    assert code == 2
    assert message in said
    assert "Traceback" not in said


def test_a_model_path_that_is_no_model(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, arithmetic_jsonl: Path
) -> None:
    code, said = run(capsys, *small(tmp_path / "nowhere", arithmetic_jsonl, tmp_path))
    assert (code, "no such folder; needs a Hugging Face model folder" in said) == (2, True)
    (tmp_path / "empty").mkdir()
    code, said = run(capsys, *small(tmp_path / "empty", arithmetic_jsonl, tmp_path))
    assert (code, "the folder has no config.json" in said) == (2, True)


def test_a_tokenizer_without_an_end_of_sequence_token(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, llama_folder: Path, arithmetic_jsonl: Path
) -> None:
    folder = tmp_path / "model"
    shutil.copytree(llama_folder, folder)
    settings = json.loads((folder / "tokenizer_config.json").read_text())
    del settings["eos_token"]
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))
    code, said = run(capsys, *small(folder, arithmetic_jsonl, tmp_path))
    assert (code, "no end-of-sequence token; needs eos_token" in said) == (2, True), said


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("empty.jsonl", "", "the file has no rows; needs at least one prompt"),
        ("torn.jsonl", '{"question": "q", "answer": "1"}\n{"question": ', "line 2: not JSON"),
        ("odd.jsonl", '{"text": "q"}\n', "found the columns text; needs those of one of these layouts"),
        ("shape.jsonl", '{"prompt": 3, "check": {"type": "math", "answer": "1"}}\n', "row 1: prompt needs a string"),
        ("kind.jsonl", '{"prompt": "q", "check": {"type": "poem"}}\n', "row 1: check.type is 'poem'"),
        ("blank.jsonl", '{"question": "q", "answer": ""}\n', "none of its 1 rows has a usable reference"),
        ("fake.parquet", "no parquet", "cannot be read"),
    ],
)
def test_a_bad_prompt_file(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, llama_folder: Path, name: str, content: str, message: str
) -> None:
    path = tmp_path / name
    path.write_text(content)
    code, said = run(capsys, *small(llama_folder, path, tmp_path))
    assert code == 2
    assert f"data.train={path}" in said and message in said


CPP_PROMPT = {
    "prompt": "Print 1.",
    "check": {"type": "code", "language": "cpp", "kind": "stdio", "tests": [{"stdin": "", "stdout": "1"}]},
}


@pytest.mark.parametrize(
    ("what", "value", "message"),
    [
        (
            "r1ray.sandbox.languages.PATH",
            "/nonexistent",
            "has programs in cpp, and g++ is not installed: needs the Debian",
        ),
        ("r1ray.sandbox.pool.landlock_abi", lambda: 0, "no isolation can be had here"),
    ],
)
def test_programs_that_cannot_be_run_here_stop_the_run_before_it_starts(
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    llama_folder: Path,
    what: str,
    value: object,
    message: str,
) -> None:
    path = tmp_path / "code.jsonl"
    path.write_text(json.dumps(CPP_PROMPT) + "\n")
    monkeypatch.setattr("r1ray.sandbox.pool.bubblewrap_problem", lambda *more: "bwrap is not installed")
    monkeypatch.setattr(what, value)
    code, said = run(capsys, *small(llama_folder, path, tmp_path), "data.template=none")
    assert (code, message in said) == (2, True), said


def test_prompts_that_cannot_fit(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, llama_folder: Path, arithmetic_jsonl: Path
) -> None:
    files = small(llama_folder, arithmetic_jsonl, tmp_path)
    code, said = run(capsys, *files, "data.max_prompt_tokens=20", "name=a")
    assert (code, "none of the first training prompts fits, the shortest has" in said) == (2, True)
    code, said = run(capsys, *files, f"data.eval={arithmetic_jsonl}", "data.max_prompt_tokens=20", "name=b")
    assert (code, "data.max_prompt_tokens=20: the longest held-out prompt has" in said) == (2, True)


def test_a_prompt_file_that_is_not_there(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, llama_folder: Path
) -> None:
    code, said = run(capsys, *small(llama_folder, tmp_path / "no.jsonl", tmp_path))
    assert (code, "no such file" in said) == (2, True)


def test_a_cluster_that_is_not_there_is_said_before_a_model_is_made(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    code, said = run(capsys, "experiment=quickstart", f"output_dir={tmp_path}/runs", "cluster.address=127.0.0.1:1")
    assert code == 2
    assert said.startswith("r1ray: cluster.address=127.0.0.1:1: no Ray answers there: ")
    assert not (tmp_path / "runs").exists()


def test_cfg_job_prints_the_configuration_and_runs_nothing(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    own = ["model=m", "data.train=t", f"output_dir={tmp_path}/runs"]
    assert main(["run", *own[:1], "--cfg", "job", *own[1:], "learner.lr=0.5"]) == 0
    shown = OmegaConf.create(capsys.readouterr().out)
    assert (shown.model, shown.learner.lr) == ("m", 0.5)
    assert not (tmp_path / "runs").exists()
    assert main(["run", *own, "--cfg", "all"]) == 2
    assert "--cfg: invalid choice: 'all'" in capsys.readouterr().err
