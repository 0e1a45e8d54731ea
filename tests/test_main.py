"""The command line: a user's mistake is two sentences and exit code 2, and nothing was started."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from r1ray import main as cli


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str]:
    code = cli.main(["run", *arguments])
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
        (["model=m", "data.train=t", "algo.group_size=x"], "algo.group_size: Value 'x'"),
        (["model=m", "data.train=t", "algo.minibatches_per_step=100"], "nearest smaller value that does is 64"),
        (["experiment=quickstar"], "experiment=quickstar: needs one of "),
        (["algo=pepper"], "algo=pepper: needs one of cispo, dapo, deepseekmath,"),
        (["data.train=t"], "model is not set: give model=PATH"),
        (["model=m"], "data.train is not set"),
        (["experiment=quickstart", "rollout.num_actors=500"], "lower one of these keys"),
        (["experiment=quickstart", "learner.num_ranks=500"], "the run needs 501 CPUs (learner.num_ranks=500"),
        (["a=="], "Error parsing override 'a=='"),
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


def test_a_run_folder_of_other_settings_is_not_reused(tmp_path: Path) -> None:
    from r1ray.errors import UserError

    overrides = ["model=m", "data.train=t"]
    cli.claim_run_folder(tmp_path / "a", cli.compose(overrides))
    cli.claim_run_folder(tmp_path / "a", cli.compose([*overrides, "deadlines.learn_s=7"]))
    elsewhere = cli.compose([*overrides, "learner.num_ranks=2", "rollout.num_actors=3"])
    cli.claim_run_folder(tmp_path / "a", elsewhere)
    assert "num_ranks: 2" in (tmp_path / "a" / "config.yaml").read_text()
    assert cli.default_name(elsewhere) == cli.default_name(cli.compose(overrides))
    with pytest.raises(UserError, match=r"learner.lr \(3e-06 there, 0.1 now\); give another name"):
        cli.claim_run_folder(tmp_path / "a", cli.compose([*overrides, "learner.lr=0.1"]))


def test_the_name_of_a_run_is_a_function_of_its_settings() -> None:
    names = [cli.default_name(cli.compose(["model=m", "data.train=t", *more])) for more in ([], [], ["learner.lr=0.1"])]
    assert names[0] == names[1] != names[2]
    assert names[0].startswith("r1_zero-seed0-")


def test_custom_resources_and_labels_are_named_by_the_user() -> None:
    more = ["learner.resources={learner_node: 0.001}", "rollout.labels.tier=rollout", "reward.labels={a/b: c}"]
    config = cli.compose(["model=m", "data.train=t", *more])
    assert config.learner.resources == {"learner_node": 0.001}
    assert (config.rollout.labels, config.reward.labels) == ({"tier": "rollout"}, {"a/b": "c"})


def test_help_is_instant_because_it_imports_nothing_but_the_standard_library() -> None:
    program = (
        "import sys; before = set(sys.modules); import r1ray.main; code = r1ray.main.main(['--help']);"
        "own = {*sys.stdlib_module_names, 'r1ray'};"
        "others = {name.partition('.')[0] for name in set(sys.modules) - before} - own;"
        "sys.exit(code or ' '.join(sorted(others)) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "usage: r1ray run" in done.stdout


def test_an_unknown_command_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["fly"]) == 2
    assert "no such command" in capsys.readouterr().err


def test_a_plan_of_what_starts_nothing_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["plan", "recipe=extend", "model=Qwen/Qwen2.5-1.5B"]) == 0
    assert capsys.readouterr().out == "nothing of this starts an actor\n"


def test_engine_arguments_need_no_plus() -> None:
    assert cli.compose(["model=m", "data.train=t", "rollout.engine_args.enforce_eager=true"]).rollout.engine_args == {
        "enforce_eager": True
    }


def test_settings_of_deepspeed_need_no_plus() -> None:
    own = ["learner.deepspeed.zero_optimization.overlap_comm=true", "learner.deepspeed.wall_clock_breakdown=true"]
    expected = {"zero_optimization": {"overlap_comm": True}, "wall_clock_breakdown": True}
    together = "learner.deepspeed={zero_optimization: {overlap_comm: true}, wall_clock_breakdown: true}"
    assert cli.compose(["model=m", "data.train=t", *own]).learner.deepspeed == expected
    assert cli.compose(["model=m", "data.train=t", together]).learner.deepspeed == expected


def test_a_cluster_that_is_not_there_is_said_before_a_model_is_made(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    code, said = run(capsys, "experiment=quickstart", f"output_dir={tmp_path}/runs", "cluster.address=127.0.0.1:1")
    assert code == 2
    assert said.startswith("r1ray: cluster.address=127.0.0.1:1: no Ray answers there: ")
    assert not (tmp_path / "runs").exists()


def test_an_evaluation_at_a_cluster_that_is_not_there_ends_at_once(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["eval", "model=m", "benchmark=math_500", "data=miniature", "cluster.address=127.0.0.1:1"]) == 2
    assert capsys.readouterr().err.startswith("r1ray: cluster.address=127.0.0.1:1: no Ray answers there: ")
