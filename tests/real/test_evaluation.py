"""``r1ray eval`` on the real parts: Ray, vLLM, the verifier, a judge and a reward model that nobody trained."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from tests.real.running import end, engines, environment, r1ray, start, wait_until

pytestmark = pytest.mark.real

QUESTIONS, SAMPLES = 8, 4
SETTINGS = (
    *("template=none", f"samples={SAMPLES}", "max_tokens=24", "rollout.dtype=float32", "rollout.max_num_seqs=32"),
    "sandbox.num_slots=1",
)


def command(model: Path, data: Path, output_dir: Path, *more: str) -> list[str]:
    own = ["benchmark=prompts", f"model={model}", f"data={data}", f"output_dir={output_dir}"]
    return ["eval", *own, *SETTINGS, *more]


def folder_of(output_dir: Path) -> Path:
    (result,) = (output_dir / "evaluations").glob("*/settings.json")
    return result.parent


def result_of(output_dir: Path) -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads((folder_of(output_dir) / "result.json").read_text())
    return loaded


def lines(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "samples.jsonl").read_text().splitlines()]


@pytest.fixture(scope="module")
def guided(qwen_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Overrides: a reward model ranks the samples and guides a search."""
    from transformers import AutoConfig, AutoModelForSequenceClassification, AutoTokenizer

    reward_model = tmp_path_factory.mktemp("guide") / "reward_model"
    config = AutoConfig.from_pretrained(qwen_folder, num_labels=1)
    AutoModelForSequenceClassification.from_config(config).save_pretrained(reward_model)
    AutoTokenizer.from_pretrained(qwen_folder).save_pretrained(reward_model)
    return [
        *(f"reward_model.model={reward_model}", "reward_model.dtype=float32", "reward_model.cpus_per_actor=0.5"),
        *("search.methods=[best_of_n,tree_search]", "search.budget=64", "search.segment_tokens=8"),
        *("search.segment_end='='", "rollout.cpus_per_actor=0.5"),
    ]


@pytest.fixture(scope="module")
def finished(
    qwen_folder: Path, running_total: Path, guided: list[str], tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, list[str], str]:
    """The folder, the command, and what it printed."""
    output_dir = tmp_path_factory.mktemp("eval")
    asked = command(qwen_folder, running_total / "heldout.parquet", output_dir, *guided)
    return output_dir, asked, r1ray(*asked, cwd=output_dir)


def test_every_question_is_answered_and_every_sample_judged(finished: tuple[Path, list[str], str]) -> None:
    questions = lines(folder_of(finished[0]))
    assert sorted(question["number"] for question in questions) == list(range(QUESTIONS))
    samples = [sample for question in questions for sample in question["samples"]]
    assert len(samples) == QUESTIONS * SAMPLES
    assert all(sample["value"] in (0.0, 1.0) and sample["fault"] is None for sample in samples)
    assert all(0 < sample["num_tokens"] <= 24 for sample in samples)


def test_the_metrics_have_intervals_rates_and_the_tokens_spent(finished: tuple[Path, list[str], str]) -> None:
    result = result_of(finished[0])
    metrics = result["metrics"]
    assert {"pass@1", f"cons@{SAMPLES}", "length_mean", "truncated_rate", "no_answer_rate"} <= set(metrics)
    low, high = metrics["pass@1"]["over_questions"]
    assert low <= metrics["pass@1"]["value"] <= high
    spent = sum(s["num_tokens"] for question in lines(folder_of(finished[0])) for s in question["samples"])
    assert metrics["generated_tokens"]["value"] == spent
    assert result["settings"]["seed"] == 0
    assert "pass@1" in finished[2] and "95 % over questions" in finished[2]


def test_the_same_command_again_starts_nothing_and_finds_the_same(finished: tuple[Path, list[str], str]) -> None:
    output_dir, asked, _ = finished
    before = result_of(output_dir)
    printed = r1ray(*asked, cwd=output_dir, timeout_s=60)
    assert "starting" not in printed
    assert result_of(output_dir) == before


def test_a_copy_of_the_model_elsewhere_is_the_same_model(
    finished: tuple[Path, list[str], str], qwen_folder: Path, running_total: Path, guided: list[str], tmp_path: Path
) -> None:
    output_dir = finished[0]
    copy = shutil.copytree(qwen_folder, tmp_path / qwen_folder.name)
    asked = command(copy, running_total / "heldout.parquet", output_dir, *guided)
    printed = r1ray(*asked, cwd=output_dir, timeout_s=60)
    assert "starting" not in printed


@pytest.mark.long
@pytest.mark.faults
def test_a_killed_engine_is_replaced_and_nothing_is_lost(
    qwen_folder: Path, running_total: Path, tmp_path: Path
) -> None:
    asked = command(
        *(qwen_folder, running_total / "heldout.parquet", tmp_path, "samples=16", "max_tokens=200"),
        *("seed=3", "rollout.max_num_seqs=8"),
    )
    process = start(*asked, cwd=tmp_path, env=environment())
    try:
        wait_until(
            lambda: any((tmp_path / "evaluations").glob("*/samples.jsonl")), timeout_s=240, what="the first question"
        )
        ((front, _),) = engines(process.pid)
        front.kill()
        printed, _ = process.communicate(timeout=400)
    finally:
        end(process)
    assert process.returncode == 0, printed[-4000:]
    questions = lines(folder_of(tmp_path))
    assert sorted(question["number"] for question in questions) == list(range(QUESTIONS))
    assert all(len(question["samples"]) == 16 for question in questions)


@pytest.fixture(scope="module")
def long_llama(llama_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A judge's prompt has more bytes than the untrained model's context has tokens."""
    folder = shutil.copytree(llama_folder, tmp_path_factory.mktemp("long") / "llama")
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"max_position_embeddings": 4096}))
    return folder


@pytest.mark.long
def test_a_judge_grades_what_no_rule_can_compare(qwen_folder: Path, long_llama: Path, tmp_path: Path) -> None:
    printed = r1ray(
        *("eval", f"model={qwen_folder}", "benchmark=simple_qa", "data=miniature", f"output_dir={tmp_path}"),
        *SETTINGS,
        *(f"judge.model={long_llama}", "judge.max_model_len=4096", "judge.max_tokens=1400"),
        *("judge.engine.dtype=float32", "judge.engine.cpus_per_actor=0.5", "rollout.cpus_per_actor=0.5"),
        cwd=tmp_path,
    )
    metrics = result_of(tmp_path)["metrics"]
    assert {"correct", "not_attempted", "f_score"} <= set(metrics)
    details = [s["detail"] for question in lines(folder_of(tmp_path)) for s in question["samples"]]
    grades = {detail.split(":")[0] for detail in details}
    assert grades <= {"correct", "incorrect", "not_attempted", "no_answer"}, printed
    assert grades - {"no_answer"}, "the judge was asked"


def test_a_reward_model_ranks_samples_and_guides_a_search(finished: tuple[Path, list[str], str]) -> None:
    result = result_of(finished[0])
    assert {f"best@{SAMPLES}", f"weighted_cons@{SAMPLES}"} <= set(result["metrics"])
    rows = {row["method"]: row for row in result["search"]}
    assert set(rows) == {"sampling", "majority", "best_of_n", "tree_search"}
    assert all(0 < row["generated_tokens"] <= 64 for row in rows.values())
    assert "search with 64 tokens a question" in finished[2]


def test_two_models_are_compared_question_by_question(
    finished: tuple[Path, list[str], str], qwen_folder: Path, tmp_path: Path
) -> None:
    """Against itself under another name: no difference."""
    output_dir, asked, _ = finished
    printed = r1ray(*asked, f"against={qwen_folder}", cwd=output_dir, timeout_s=60)
    assert "model minus against: +0.000" in printed
    assert f"paired over {QUESTIONS} questions" in printed


def refused(*arguments: str, cwd: Path) -> str:
    process = start(*arguments, cwd=cwd)
    try:
        printed, _ = process.communicate(timeout=60)
    finally:
        end(process)
    assert process.returncode == 2, printed
    return printed


def test_what_cannot_be_evaluated_is_refused_before_anything_starts(
    qwen_folder: Path, running_total: Path, tmp_path: Path
) -> None:
    data = running_total / "heldout.parquet"
    assert "benchmark=aime_2025: no such benchmark; the nearest is aime_2024" in refused(
        "eval", f"model={qwen_folder}", "benchmark=aime_2025", f"data={data}", cwd=tmp_path
    )
    assert "needs judge.model=PATH" in refused(
        "eval", f"model={qwen_folder}", "benchmark=simple_qa", "data=miniature", "template=none", cwd=tmp_path
    )
    assert "against=/nowhere: no such folder" in refused(
        *command(qwen_folder, data, tmp_path, "against=/nowhere"), cwd=tmp_path
    )
