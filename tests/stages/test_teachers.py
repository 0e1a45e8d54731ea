"""Teachers are refused before anything starts where they would read other text than the student wrote."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from r1ray.commands.compose import compose
from r1ray.config import AlgoConfig, TeacherConfig
from r1ray.data.template import Form
from r1ray.errors import UserError
from r1ray.stages.model_form import write_form
from r1ray.stages.teachers import check_domains, check_teachers, with_local_teachers


def tokenizer_of(folder: Path) -> Any:
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(folder)


def check(student: Path, teacher: Path, *overrides: str, key: str = "model") -> None:
    chosen = f"algo.teacher.{key}={teacher}" if key == "model" else f"algo.teacher.domains={{math: {teacher}}}"
    lengths = ["data.max_prompt_tokens=16", "algo.max_completion_tokens=48", "data.template=none"]
    recipe = ["recipe=on_policy_distill", f"model={student}", "data.train=t.jsonl", chosen]
    config = compose([*recipe, *lengths, *overrides])
    check_teachers(config, tokenizer_of(student), model=str(student))


def changed(folder: Path, to: Path, change: Callable[[Any], None]) -> Path:
    """A copy of a model with another tokenizer."""
    shutil.copytree(folder, to)
    tokenizer = tokenizer_of(to)
    change(tokenizer)
    tokenizer.save_pretrained(to)
    return to


def with_settings(folder: Path, to: Path, name: str = "config.json", **values: object) -> Path:
    shutil.copytree(folder, to)
    path = to / name
    path.write_text(json.dumps(json.loads(path.read_text()) | values))
    return to


@pytest.fixture
def small(tmp_path: Path) -> Path:
    """A model of another size with the words of ``qwen_folder``."""
    from r1ray.examples.pretrain import make_model
    from r1ray.examples.running_total.tokenizer import make_tokenizer

    tokenizer = make_tokenizer()
    make_model(tokenizer, seed=1, num_heads=1).save_pretrained(tmp_path / "small")
    tokenizer.save_pretrained(tmp_path / "small")
    return tmp_path / "small"


def test_a_teacher_of_another_size_with_the_same_tokens_is_taken(
    qwen_folder: Path, small: Path, said: list[str]
) -> None:
    check(qwen_folder, small)
    check(small, qwen_folder, key="domains.math")
    assert not [each for each in said if "teacher" in each]


def test_another_tokenizer_is_refused_with_what_is_different(qwen_folder: Path, llama_folder: Path) -> None:
    with pytest.raises(
        UserError,
        match=r"^algo\.teacher\.model=.*: its tokenizer is not that of model=.*: of \d+ token ids \d+ differ "
        r"\(.* is '.*' there and '.*' here.*; needs a teacher with its tokenizer\.$",
    ):
        check(qwen_folder, llama_folder)


def test_a_token_more_is_refused_by_its_name_whoever_has_it(llama_folder: Path, tmp_path: Path) -> None:
    from transformers import AutoModelForCausalLM

    more = changed(llama_folder, tmp_path / "more", lambda tokenizer: tokenizer.add_tokens(["<call>"]))
    model = AutoModelForCausalLM.from_pretrained(llama_folder)
    model.resize_token_embeddings(len(tokenizer_of(more)))
    model.save_pretrained(more)
    with pytest.raises(
        UserError, match=r"algo\.teacher\.domains\.math=.* 1 differ \(\d+ is nothing there and '<call>'"
    ):
        check(more, llama_folder, key="domains.math")
    with pytest.raises(UserError, match=r"1 differ \(\d+ is '<call>' there and nothing here"):
        check(llama_folder, more)


def test_the_same_tokens_cut_otherwise_are_refused(llama_folder: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    shutil.copytree(llama_folder, other)
    path = other / "tokenizer.json"
    settings = json.loads(path.read_text())
    settings["model"]["merges"] = []
    path.write_text(json.dumps(settings))
    with pytest.raises(
        UserError, match=r"has the tokens of model=.*, and cuts text otherwise \('.*' there, '.*' here\)"
    ):
        check(llama_folder, other)


def test_ids_that_the_teacher_cannot_read_are_refused(llama_folder: Path, tmp_path: Path) -> None:
    rows = json.loads((llama_folder / "config.json").read_text())["vocab_size"]
    student = with_settings(llama_folder, tmp_path / "student", vocab_size=rows + 8)
    with pytest.raises(
        UserError, match=rf"its embedding has {rows} rows, .* has {rows + 8}.* needs at least {rows + 8}"
    ):
        check(student, llama_folder)
    check(llama_folder, llama_folder)


def test_heads_that_the_ranks_of_a_row_cannot_share_out_are_refused(qwen_folder: Path) -> None:
    with pytest.raises(
        UserError, match=r"sequence_parallel_size=2 does not divide the 3 key-value heads of algo\.teacher"
    ):
        check(qwen_folder, qwen_folder, "learner.sequence_parallel_size=2", "learner.num_ranks=2")


def test_a_teacher_that_is_no_whole_model_or_reads_too_little_is_refused(qwen_folder: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"^algo\.teacher\.model=.*gone: no such folder"):
        check(qwen_folder, tmp_path / "gone")
    torn = tmp_path / "torn"
    shutil.copytree(qwen_folder, torn)
    (torn / "model.safetensors").unlink()
    with pytest.raises(UserError, match=r"^algo\.teacher\.model=.*torn: "):
        check(qwen_folder, torn)
    with pytest.raises(UserError, match=r"^algo\.teacher\.model=.*: its context has 64 tokens, the run needs 100"):
        short = with_settings(qwen_folder, tmp_path / "short", max_position_embeddings=64)
        check(qwen_folder, short, "algo.max_completion_tokens=84")


def test_a_teacher_that_ends_or_is_asked_otherwise_is_told_of(
    qwen_folder: Path, small: Path, tmp_path: Path, said: list[str]
) -> None:
    other = with_settings(small, tmp_path / "other", "generation_config.json", eos_token_id=1)
    write_form(other, Form("chat"))
    check(qwen_folder, other)
    (ends,) = (each for each in said if "ends its answers with '<bos>'" in each)
    assert "is stopped at '<eos>'" in ends
    assert any("was tuned with" in each and "algo.teacher.model=" in each for each in said)


def test_folders_of_teachers_are_absolute_for_processes_elsewhere(
    qwen_folder: Path, small: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(small.parent)
    algo = AlgoConfig(teacher=TeacherConfig("small", {"code": str(qwen_folder)}))
    found = with_local_teachers(algo).teacher
    assert found == TeacherConfig(str(small), {"code": str(qwen_folder)})
    assert with_local_teachers(AlgoConfig()) == AlgoConfig()
    with pytest.raises(UserError, match=r"^algo\.teacher\.domains\.code=gone: no such folder"):
        with_local_teachers(replace(algo, teacher=TeacherConfig("small", {"code": "gone"})))


def test_every_domain_has_a_teacher_or_rewards() -> None:
    domains = {"math", "code"}
    check_domains(TeacherConfig("t"), domains)
    check_domains(TeacherConfig(domains={"math": "t"}, beside_rewards=True), domains)
    check_domains(TeacherConfig(domains={"math": "t", "code": "u"}), domains)
    check_domains(TeacherConfig(), domains)
    with pytest.raises(UserError, match=r"prompts of the domain code have no teacher.*data\.train has code, math"):
        check_domains(TeacherConfig(domains={"math": "t"}), domains)
    with pytest.raises(UserError, match=r"^algo\.teacher\.domains\.law: no prompt is of this domain; data.train has"):
        check_domains(TeacherConfig("t", {"law": "u"}), domains)
