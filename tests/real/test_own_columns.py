"""A run on a file in no known layout: columns, check, form and reward are the user's."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from transformers import AutoTokenizer

from r1ray.data.template import Form
from r1ray.stages.model_form import carried_form
from tests.real.running import metrics, own, r1ray

pytestmark = [pytest.mark.real, pytest.mark.long]
PROGRAM = "{% for m in messages %}[{{ m.role }}] {{ m.content }}\n{% endfor %}[{{ name }}]"


def test_a_file_in_no_layout_is_trained_on_with_columns_checks_and_form_of_the_users(
    llama_folder: Path, tmp_path: Path
) -> None:
    model = tmp_path / "model"
    shutil.copytree(llama_folder, model)
    tokenizer = AutoTokenizer.from_pretrained(model)
    tokenizer.chat_template = PROGRAM
    tokenizer.save_pretrained(model)
    rows = [{"q": f"What is {n}+1?", "label": n + 1, "level": 3, "noise": ["a"]} for n in range(8)]
    train = tmp_path / "train.jsonl"
    train.write_text("".join(json.dumps(row) + "\n" for row in rows))
    printed = r1ray(
        *("run", *own(model, train, None, tmp_path / "runs"), "name=own"),
        *("data.columns={prompt: q}", "data.check=tests.real.own_checks:of_row"),
        *("data.template=chat", "data.system_prompt='Be brief.'", "data.suffix='Think first.'"),
        *("data.template_arguments={name: bot}", "data.max_prompt_tokens=128"),
        *("~reward.parts.format", '+reward.parts.level={weight: 1.0, function: "tests.real.own_checks:level"}'),
        *("steps=1", "algo.group_size=4", "algo.prompts_per_step=2", "algo.minibatches_per_step=1"),
        *("algo.max_completion_tokens=8", "rollout.dtype=float32", "learner.dtype=float32"),
        *("rollout.max_num_seqs=16", "learner.max_tokens_per_microbatch=256"),
        cwd=tmp_path,
    )
    assert "responses are judged by tests.real.own_checks:of_row" in printed
    assert "[system] Be brief.\\n[user] What is 1+1?\\nThink first.\\n[bot]" in printed
    (step,) = [row for row in metrics(tmp_path / "runs" / "own") if row["step"] == 1]
    assert step["reward/accuracy"] == 3.0 and 3.0 <= step["reward/level"] <= 3.01
    form = Form("chat", "Be brief.", "Think first.", {"name": "bot"})
    assert carried_form(str(tmp_path / "runs" / "own" / "hf" / "1")) == form
