"""``r1ray submit``: a mistake that can be seen here is one, and no cluster hears of it."""

from __future__ import annotations

import inspect
import json
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from ray.job_submission import JobSubmissionClient

from r1ray.cluster.jobs import STOP_GRACE_S, Entrypoint, entrypoint_of
from r1ray.commands.compose import compose
from r1ray.commands.submit import _entrypoint_options, _stop_grace_s, _travelling, parser
from r1ray.main import main
from r1ray.planning.plan import plan_run


@pytest.fixture(autouse=True)
def nothing_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*arguments: object, **keywords: object) -> None:
        raise AssertionError("a cluster was asked about a run that cannot work")

    monkeypatch.setattr("r1ray.cluster.jobs.Jobs.__init__", refuse)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["algo.grop_size=4"], "algo.grop_size: no such key; the nearest is algo.group_size."),
        (["model=m", "data.train=t", "algo.group_size=1"], "algo.group_size=1: needs at least 2"),
        (["model=m", "data.train=t"], "output_dir=runs: needs an absolute path, on storage that every node"),
        (["model=m", "data.train=rows.jsonl", "output_dir=/s"], "data.train=rows.jsonl: needs an absolute path"),
        (["model=m", "data.train=[/s/a,rows/*.csv]", "output_dir=/s"], "data.train=rows/*.csv: needs an absolute path"),
        (["model='~/m'", "data.train=t", "output_dir=/s"], "model=~/m: needs an absolute path"),
        (["--stop", "algo.grop_size=4"], "algo.grop_size: no such key"),
        (["--force"], "--force: no such flag; the nearest is --"),
        (["--stop", "--status", "a"], "--status: not allowed with argument --stop"),
        (["--env", "A B=1", "a=1"], "--env A B: needs the name of a variable, NAME or NAME=VALUE."),
        (["--env", "R1_NOT_SET", "a=1"], "--env R1_NOT_SET: is not set here; needs R1_NOT_SET=VALUE"),
        (["--env", "RAY_ADDRESS=x", "a=1"], "--env RAY_ADDRESS: Python, Ray and r1ray have read it before"),
        (["--env", "LD_PRELOAD=x", "a=1"], "--env LD_PRELOAD: Python, Ray and r1ray have read it before"),
        (["--entrypoint-cpus", "0", "a=1"], "--entrypoint-cpus 0: needs a number above 0"),
        (["--entrypoint-cpus", "nan", "a=1"], "--entrypoint-cpus nan: needs a number above 0"),
        (["--entrypoint-memory-gib", "-1", "a=1"], "--entrypoint-memory-gib -1: needs a number above 0"),
        (["--entrypoint-resource", "head", "a=1"], "--entrypoint-resource head: needs NAME=VALUE"),
        (["--entrypoint-resource", "head=few", "a=1"], "--entrypoint-resource head=few: needs a number above 0"),
        (["--entrypoint-label", "=a", "a=1"], "--entrypoint-label : needs NAME=VALUE"),
    ],
)
def test_mistakes(
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    arguments: list[str],
    message: str,
) -> None:
    (tmp_path / "rows.jsonl").touch()
    monkeypatch.chdir(tmp_path)
    assert main(["submit", "--address", "http://127.0.0.1:1", *arguments]) == 2
    assert message in capsys.readouterr().err


def test_secrets_are_in_no_message(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    for arguments in (
        ["--env", "HF_TOKEN", "algo.grop_size=4"],
        ["--env", "1TOKEN=hf_secret"],
        ["--env", "RAY_TOKEN=hf_secret"],
        ["model=m", "data.train=s3://key:hf_secret@bucket/rows.parquet", "output_dir=/s"],
    ):
        assert main(["submit", "--address", "http://127.0.0.1:1", *arguments]) == 2
        said = capsys.readouterr()
        assert "hf_secret" not in said.err + said.out


def test_what_the_entrypoint_takes_is_handed_to_ray() -> None:
    flags = ["--entrypoint-cpus", "1.5", "--entrypoint-memory-gib=2", "--entrypoint-label", "pool=head"]
    given = parser().read([*flags, "--entrypoint-resource", "a=1", "--entrypoint-resource", "b=0.001", "x=1"])
    assert Entrypoint(command="true", **_entrypoint_options(given)).options == {
        "entrypoint": "true",
        "entrypoint_num_cpus": 1.5,
        "entrypoint_memory": 2 * 2**30,
        "entrypoint_resources": {"a": 1.0, "b": 0.001},
        "entrypoint_label_selector": {"pool": "head"},
    }
    nothing = Entrypoint(command="true", **_entrypoint_options(parser().read(["x=1"]))).options
    assert {value for name, value in nothing.items() if name != "entrypoint"} == {None}
    accepted = inspect.signature(JobSubmissionClient.submit_job).parameters
    assert set(nothing) <= set(accepted)


def test_a_long_step_has_longer_to_end_when_it_is_stopped(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = ("data.train=/t", "output_dir=/s")
    assert _stop_grace_s(compose(["model=qwen2.5_0.5b", "cluster=one_node_8", *rows])) >= STOP_GRACE_S
    long = compose(["experiment=r1_zero_qwen2.5_7b", *rows])
    assert _stop_grace_s(long) == plan_run(long).ending_s > 2 * plan_run(long).step.learn
    assert _stop_grace_s(compose(["model=/no/where", *rows])) == STOP_GRACE_S
    given = ["data.eval=/e", "graph.cold_start_data.collect.examples=/e"]
    given += [f"graph.{name}.supervised.train=/p" for name in ("helpful", "harmless")]
    recipe = compose(["experiment=r1_qwen2.5_7b", *given, *rows])
    assert _stop_grace_s(recipe) > STOP_GRACE_S, "that of its slowest stage"


def test_a_folder_of_files_has_to_travel_with_the_job(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "here" / "conf").mkdir(parents=True)
    (tmp_path / "there").mkdir()
    (tmp_path / "here" / "link").symlink_to(tmp_path / "there")
    monkeypatch.chdir(tmp_path / "here")
    for folder in ("../there", str(tmp_path / "there"), "link"):
        assert main(["submit", "--config-dir", folder, "model=m"]) == 2
        assert f"--config-dir {folder}: needs a folder below {tmp_path / 'here'}" in capsys.readouterr().err
    assert _travelling(str(tmp_path / "here" / "conf")) == _travelling("./conf") == "conf"


def test_words_arrive_at_the_job_as_they_were_given(tmp_path: Path) -> None:
    words = ["data.train=/a b/x=1,{y}(z)[w]#'~\u00e9$.parquet", 'name=$HOME `id` \\ "', "--config-dir=a b", "~graph.x"]
    show = "import json, sys; print(json.dumps(sys.argv[4:]))"
    command = entrypoint_of(["run", *words]).replace("python", shlex.join([sys.executable, "-c", show]), 1)
    said = subprocess.run(command, shell=True, capture_output=True, text=True, check=True, cwd=tmp_path).stdout
    assert json.loads(said) == words
