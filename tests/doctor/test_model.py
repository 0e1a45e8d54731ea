"""Tokenizer, model, template and settings against each other."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from r1ray.commands.compose import compose
from r1ray.config import RunConfig
from r1ray.doctor.findings import Finding, worst
from r1ray.doctor.model import check_model, stored_rows

BASE = ("model=m", "data.train=t", "data.template=none", "data.max_prompt_tokens=16", "algo.max_completion_tokens=64")


def config(*overrides: str) -> RunConfig:
    return compose([*BASE, *overrides])


def findings(folder: Path, *overrides: str) -> dict[str, Finding]:
    return {finding.check: finding for finding in check_model(config(*overrides), str(folder)).findings}


@pytest.fixture
def copy(tmp_path: Path, qwen_folder: Path) -> Path:
    return Path(shutil.copytree(qwen_folder, tmp_path / "model"))


def rewrite(file: Path, **changes: object) -> None:
    file.write_text(json.dumps(json.loads(file.read_text()) | changes))


def test_a_model_that_agrees_with_itself_is_green(qwen_folder: Path, llama_folder: Path) -> None:
    for folder in (qwen_folder, llama_folder):
        assert worst(findings(folder).values()) == "green"


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        (["data.template=chat"], "has no chat template"),
        (["data.max_prompt_tokens=9000"], "its context has 256 tokens"),
    ],
)
def test_settings_that_the_model_does_not_allow_are_red(qwen_folder: Path, overrides: list[str], said: str) -> None:
    found = findings(qwen_folder, *overrides)
    assert (found["model"].status, said in found["model"].found) == ("red", True)


def test_a_folder_without_a_tokenizer_is_red(copy: Path) -> None:
    (copy / "tokenizer.json").unlink()
    assert findings(copy)["model"].status == "red"


def test_generation_settings_that_cannot_be_read_are_red(copy: Path) -> None:
    (copy / "generation_config.json").write_text("{")
    finding = findings(copy)["model"]
    assert finding.status == "red" and f"{copy}/generation_config.json: transformers cannot read it" in finding.found


def test_weights_of_another_vocabulary_than_the_configuration_are_red(copy: Path) -> None:
    rows = stored_rows(str(copy))
    assert rows is not None
    rewrite(copy / "config.json", vocab_size=rows + 8)
    found = findings(copy)["model"]
    assert found.status == "red"
    assert "embed_tokens.weight" in found.found and f"{rows}x" in found.found and f"{rows + 8}x" in found.found


def test_a_tokenizer_with_more_tokens_than_the_embedding_has_rows_is_red(copy: Path) -> None:
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(copy)
    tokenizer.add_tokens([f"<new {number}>" for number in range(200)])
    tokenizer.save_pretrained(copy)
    assert worst(findings(copy).values()) == "red"


def test_an_end_that_only_the_tokenizer_knows_is_yellow_and_says_which(copy: Path) -> None:
    rewrite(copy / "generation_config.json", eos_token_id=[5, 7])
    found = findings(copy)["eos"]
    assert (found.status, "engines stop at any of [2, 5, 7]" in found.advice) == ("yellow", True), found


def test_a_pattern_that_decoding_drops_is_red(copy: Path) -> None:
    from transformers import AutoTokenizer

    parts = "+reward.parts.cold_start_format={weight: 1.0}"
    assert "pattern" not in findings(copy, "~reward.parts.format")
    tokenizer = AutoTokenizer.from_pretrained(copy)
    tokenizer.add_tokens(["<|reasoning|>"])
    tokenizer.save_pretrained(copy)
    assert findings(copy, parts)["pattern"].status == "green"
    tokenizer.add_special_tokens({"additional_special_tokens": ["<|reasoning|>"]})
    tokenizer.save_pretrained(copy)
    assert findings(copy, parts)["pattern"].status == "red"


def test_a_pattern_of_several_tokens_is_yellow(llama_folder: Path) -> None:
    assert findings(llama_folder, "+reward.parts.cold_start_format={weight: 1.0}")["pattern"].status == "yellow"


def test_a_teacher_of_other_tokens_is_red_and_one_that_a_stage_makes_is_not_looked_at(
    qwen_folder: Path, llama_folder: Path
) -> None:
    distilled = ["recipe=on_policy_distill", "data.template=none"]
    other = findings(qwen_folder, *distilled, f"algo.teacher.model={llama_folder}")["teacher"]
    assert other.status == "red" and "its tokenizer is not that of" in other.found
    same = findings(qwen_folder, *distilled, f"algo.teacher.model={qwen_folder}")["teacher"]
    made = findings(qwen_folder, *distilled, "algo.teacher.model='@trained'")["teacher"]
    assert same.status == made.status == "green" and "teacher" not in findings(qwen_folder)
