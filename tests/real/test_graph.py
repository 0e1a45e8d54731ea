"""A graph of stages on the real parts: the model gets a token, samples, learns what passed, and is evaluated."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from r1ray.evaluation.records import Answered, Sample, to_json
from tests.real.running import end, environment, r1ray, start, wait_until

pytestmark = pytest.mark.real

GRAPH = (
    "graph.extended={recipe: extend}",
    "graph.samples={recipe: collect, model: '@extended', collect: {samples: 8, keep: 2, max_tokens: 24, "
    "filters: [cut], similarity: 1.0, min_value: 0.0}}",
    "graph.fine_tuned={recipe: sft, model: '@extended', supervised: {train: '@samples/data/part-00000.parquet', "
    "epochs: 1, sequences_per_step: 8, max_tokens: 64}, learner: {dtype: float32, max_tokens_per_microbatch: 256}}",
    "graph.eval_extended={recipe: evaluate, model: '@extended'}",
    "graph.eval_fine_tuned={recipe: evaluate, model: '@fine_tuned', eval: {compare: [{against: "
    "'@eval_extended', expect: {length_mean: any, pass@1: up}}]}}",
)
SETTINGS = (
    *("data.template=none", "rollout.dtype=float32", "rollout.max_num_seqs=32", "name=graph"),
    *("algo.max_completion_tokens=24", "eval.final_num_prompts=4", "eval.final_samples=2"),
)


NUM_ZERO, NUM_CHAT = 8, 16
"""Right responses of another model that are to be made readable, and answers of the user's."""


def beside_plain(work: Path, train: Path) -> list[str]:
    """Overrides that have the model rewrite another one's responses, and think before answers of the user's."""
    answered = []
    for row in pq.read_table(train).to_pylist()[:NUM_ZERO]:
        text = f"<think>so so {row['check']['answer']}</think><answer>{row['check']['answer']}</answer>"
        sample = Sample(
            text=text, num_tokens=8, is_truncated=False, extracted=None, value=1.0, metrics={}, detail="", fault=None
        )
        answered.append(
            Answered(id=f"{row['id']}/plain", groups={}, num_prompt_tokens=3, samples=(sample,), classes=None)
        )
    (work / "zero" / "dataset").mkdir(parents=True)
    lines = [json.dumps({"number": number, **to_json(each)}) for number, each in enumerate(answered)]
    (work / "zero" / "samples.jsonl").write_text("\n".join(lines) + "\n")
    asked = ["hello", *(f"check {n}" for n in range(1, NUM_CHAT))]
    rows = [
        json.dumps({"prompt": f"User:{text}\nAssistant:", "response": "thanks", "easy": text == "hello"})
        for text in asked
    ]
    (work / "chat.jsonl").write_text("\n".join(rows) + "\n")
    source = f"{{path: {work}/chat.jsonl, ratio: 0.1, reasoning: 1.0, trivial_column: easy}}"
    return [
        "graph.samples.collect.ways=[plain,rewrite]",
        f"graph.samples.collect.responses={work}/zero/dataset",
        f"graph.samples.collect.sources={{chat: {source}}}",
    ]


@pytest.fixture(scope="module")
def finished(
    qwen_folder: Path, running_total: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, list[str], str, str]:
    """Run folder, command, and what it printed before and after it was killed, once the first two stages were done."""
    work = tmp_path_factory.mktemp("graph")
    files = [f"data.train={running_total}/train.parquet", f"data.eval={running_total}/heldout.parquet"]
    command = ["run", f"model={qwen_folder}", *files, f"output_dir={work}", *SETTINGS, *GRAPH]
    command += beside_plain(work, running_total / "train.parquet")
    process = start(*command, cwd=work, env=environment())
    try:
        manifest = work / "graph" / "stages" / "samples" / "manifest.json"
        wait_until(manifest.exists, timeout_s=360, what="the second stage")
        os.killpg(process.pid, signal.SIGKILL)
        before, _ = process.communicate(timeout=30)
    finally:
        end(process)
    return work / "graph", command, before, r1ray(*command, cwd=work)


@pytest.mark.faults
def test_a_killed_run_goes_on_at_the_stage_where_it_stopped(finished: tuple[Path, list[str], str, str]) -> None:
    _, _, before, after = finished
    assert "== stage samples (collect)" in before
    assert "stage extended: done already" in after and "stage samples: done already" in after
    assert "== stage fine_tuned (sft)" in after and "== stage eval_fine_tuned (evaluate)" in after


def test_the_special_token_is_one_token_that_decoding_keeps(finished: tuple[Path, list[str], str, str]) -> None:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    from r1ray.reward.extract import SPECIAL_TOKEN

    folder = finished[0] / "stages" / "extended" / "model"
    tokenizer = AutoTokenizer.from_pretrained(folder)
    (token,) = tokenizer(SPECIAL_TOKEN, add_special_tokens=False)["input_ids"]
    assert tokenizer.decode([token], skip_special_tokens=True) == SPECIAL_TOKEN
    assert AutoModelForCausalLM.from_pretrained(folder).get_input_embeddings().weight.shape[0] > token


def test_the_data_set_says_what_was_kept_and_why_not_the_rest(finished: tuple[Path, list[str], str, str]) -> None:
    card = json.loads((finished[0] / "stages" / "samples" / "dataset" / "card.json").read_text())
    examined, removed = card["curation"]["num_examined"], sum(card["curation"]["removed"].values())
    assert examined == (64 + NUM_ZERO) * 8
    kept = next(source for source in card["curation"]["mixture"]["sources"] if source["name"] == "sampled")
    assert kept["num_available"] == examined - removed > 0
    assert card["manifest"]["num_rows"] == card["curation"]["mixture"]["total"]


def test_another_models_responses_are_rewritten(finished: tuple[Path, list[str], str, str]) -> None:
    folder = finished[0] / "stages" / "samples"
    asked = [json.loads(line) for line in (folder / "samples.jsonl").read_text().splitlines()]
    rewritten = [question for question in asked if question["id"].endswith("/rewrite")]
    assert len(rewritten) == NUM_ZERO
    assert all(question["num_prompt_tokens"] > 10 for question in rewritten), "the response is in the prompt"
    assert json.loads((folder / "dataset" / "card.json").read_text())["manifest"]["counts"]["source"]["rewrite"] > 0


def test_a_model_thinks_before_the_users_answers_but_not_before_trivial_ones(
    finished: tuple[Path, list[str], str, str],
) -> None:
    from r1ray.reward.format import cold_start_sections

    folder = finished[0] / "stages" / "samples"
    assert len((folder / "thoughts.jsonl").read_text().splitlines()) == NUM_CHAT - 1
    thinking = json.loads((folder / "dataset" / "card.json").read_text())["curation"]["thinking"]["chat"]
    assert thinking["num_trivial"] == 1
    assert thinking["num_prompted"] + sum(thinking["left_out"].values()) == NUM_CHAT - 1
    rows = [row for row in pq.read_table(folder / "dataset" / "data").to_pylist() if row["source"] == "chat"]
    written = [cold_start_sections(row["messages"][-1]["content"]) for row in rows]
    assert rows and all(found is not None and found[1] == "thanks" for found in written)


def test_the_lineage_leads_from_the_metrics_to_the_users_model(finished: tuple[Path, list[str], str, str]) -> None:
    lineage = json.loads((finished[0] / "lineage.json").read_text())
    assert list(lineage) == ["extended", "samples", "fine_tuned", "eval_extended", "eval_fine_tuned"]
    for name, entry in lineage.items():
        for needed, artifact in entry["inputs"].items():
            assert artifact["digest"] == lineage[needed]["digest"], name
    assert "pass@1" in lineage["eval_fine_tuned"]["artifact"]["metrics"]


def test_the_last_tables_have_a_row_for_each_stage_and_each_effect(finished: tuple[Path, list[str], str, str]) -> None:
    lines = finished[3].splitlines()
    for stage in ("extended", "samples", "fine_tuned", "eval_extended", "eval_fine_tuned"):
        assert any(line.startswith(f"│ {stage} ") for line in lines), stage
    (effect,) = (line for line in lines if "│ length_mean │" in line and "│ extended │" in line)
    metrics = json.loads((finished[0] / "lineage.json").read_text())["eval_fine_tuned"]["artifact"]["metrics"]
    before, difference = metrics["before/eval_extended/length_mean"], metrics["effect/eval_extended/length_mean"]
    assert f"{before:.1f}" in effect and f"{difference:+.3f}" in effect
    assert abs(before + difference - metrics["length_mean"]) < 1e-9
    low, high = (metrics[f"effect/eval_extended/length_mean_{end}"] for end in ("low", "high"))
    assert low <= difference <= high


def test_the_same_command_again_does_nothing(finished: tuple[Path, list[str], str, str]) -> None:
    run_dir, command, _, _ = finished
    printed = r1ray(*command, cwd=run_dir.parent, timeout_s=60)
    assert printed.count("done already") == 5 and "== stage" not in printed
