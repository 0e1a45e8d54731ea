"""``r1ray run``: what this machine or the cluster lacks is said before anything is started."""

from __future__ import annotations

import json
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
        ("r1ray.sandbox.home.landlock_abi", lambda: 0, "no isolation is available here"),
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
    monkeypatch.setattr("r1ray.sandbox.home.bubblewrap_problem", lambda *more: "bwrap is not installed")
    monkeypatch.setattr(what, value)
    code, said = run(capsys, *small(llama_folder, path, tmp_path), "data.template=none")
    assert (code, message in said) == (2, True), said


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
