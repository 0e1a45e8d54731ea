"""A graph of stages on the real parts: the model gets a token, samples, learns what passed, and is evaluated."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path

import pytest

from tests.real.running import end, environment, r1ray, start, wait_until

GRAPH = (
    "graph.extended={recipe: extend}",
    "graph.samples={recipe: collect, model: '@extended', collect: {samples: 8, keep: 2, max_tokens: 24, "
    "filters: [cut], similarity: 1.0, min_value: 0.0}}",
    "graph.fine_tuned={recipe: sft, model: '@extended', supervised: {train: '@samples/data/part-00000.parquet', "
    "epochs: 1, sequences_per_step: 8, max_tokens: 64}, learner: {dtype: float32, max_tokens_per_microbatch: 256}}",
    "graph.eval_fine_tuned={recipe: evaluate, model: '@fine_tuned'}",
)
SETTINGS = (
    *("data.template=none", "rollout.dtype=float32", "rollout.max_num_seqs=32", "name=graph"),
    *("algo.max_completion_tokens=24", "eval.final_num_prompts=4", "eval.final_samples=2"),
)


@pytest.fixture(scope="module")
def finished(
    qwen_folder: Path, running_total: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, list[str], str, str]:
    """Run folder, command, and what it printed before and after it was killed, once the first two stages were done."""
    work = tmp_path_factory.mktemp("graph")
    files = [f"data.train={running_total}/train.parquet", f"data.eval={running_total}/heldout.parquet"]
    command = ["run", f"model={qwen_folder}", *files, f"output_dir={work}", *SETTINGS, *GRAPH]
    process = start(*command, cwd=work, env=environment())
    try:
        manifest = work / "graph" / "stages" / "samples" / "manifest.json"
        wait_until(manifest.exists, timeout_s=180, what="the second stage")
        os.killpg(process.pid, signal.SIGKILL)
        before, _ = process.communicate(timeout=30)
    finally:
        end(process)
    return work / "graph", command, before, r1ray(*command, cwd=work)


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
    assert examined == 64 * 8
    assert card["manifest"]["num_rows"] == examined - removed > 0


def test_the_lineage_leads_from_the_figures_to_the_users_model(finished: tuple[Path, list[str], str, str]) -> None:
    lineage = json.loads((finished[0] / "lineage.json").read_text())
    assert list(lineage) == ["extended", "samples", "fine_tuned", "eval_fine_tuned"]
    for name, entry in lineage.items():
        for needed, artifact in entry["inputs"].items():
            assert artifact["digest"] == lineage[needed]["digest"], name
    assert "pass@1" in lineage["eval_fine_tuned"]["artifact"]["metrics"]


def test_the_last_table_has_a_row_for_each_evaluation(finished: tuple[Path, list[str], str, str]) -> None:
    rows = [line for line in finished[3].splitlines() if line.startswith("│ fine_tuned")]
    assert len(rows) == 1


def test_the_same_command_again_does_nothing(finished: tuple[Path, list[str], str, str]) -> None:
    run_dir, command, _, _ = finished
    printed = r1ray(*command, cwd=run_dir.parent, timeout_s=60)
    assert printed.count("done already") == 4 and "== stage" not in printed
