"""Questions that a model's template refuses, of an evaluation of one model or two."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from transformers import AutoTokenizer

from r1ray.commands.compose import compose
from r1ray.config import EvaluationConfig
from r1ray.errors import UserError
from r1ray.stages.evaluate.refused import without_refused
from r1ray.stages.evaluate.task import tasks_of

STRICT = "{% if messages[0].role == 'system' %}{{ raise_exception('no system prompt') }}{% endif %}"
PLAIN = "{% for message in messages %}{{ message.content }}{% endfor %}"
CHECK = {"type": "math", "answer": "2"}


def configured(tmp_path: Path, *overrides: str) -> EvaluationConfig:
    asked = [{"role": "user", "content": "1+1?"}]
    rows = [[{"role": "system", "content": "Be brief."}, *asked], asked, asked]
    (tmp_path / "a.jsonl").write_text("".join(json.dumps({"prompt": row, "check": CHECK}) + "\n" for row in rows))
    given = ["model=any", "benchmarks=prompts", f"data={tmp_path}/a.jsonl", f"output_dir={tmp_path}", "template=chat"]
    return compose([*given, *overrides], schema=EvaluationConfig, name="eval")


@pytest.fixture(scope="module")
def models(llama_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Two models: the template of the first takes everything."""
    folders = {}
    for key, template in (("model", PLAIN), ("against", STRICT + PLAIN)):
        folder = tmp_path_factory.mktemp(key) / "model"
        shutil.copytree(llama_folder, folder)
        tokenizer = AutoTokenizer.from_pretrained(folder)
        tokenizer.chat_template = template
        tokenizer.save_pretrained(folder)
        folders[key] = str(folder)
    return folders


def test_what_a_template_refuses_is_a_bad_row(tmp_path: Path, models: dict[str, str]) -> None:
    config = configured(tmp_path)
    (task,) = tasks_of(config)
    with pytest.raises(UserError, match=r"1 malformed rows of 3: a.jsonl:1: against=.* takes no prompt of .*system"):
        without_refused(config, task, models)


def test_questions_that_one_of_two_models_cannot_be_asked_are_left_out_for_both(
    tmp_path: Path, models: dict[str, str]
) -> None:
    config = configured(tmp_path, "on_bad_row=skip")
    (task,) = tasks_of(config)
    both = without_refused(config, task, models)
    assert [item.place for item in both.items] == ["a.jsonl:2", "a.jsonl:3"]
    assert both.report.num_items == 2 and both.digest != task.digest
    assert "1 malformed rows are left out" in both.remarks[-1]
    assert without_refused(config, task, {"model": models["model"]}) is task
