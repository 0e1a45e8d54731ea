"""Models, rows and rewards that do not agree on their tokens are refused before anything starts."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from transformers import AddedToken, AutoTokenizer

from r1ray.config import RewardConfig
from r1ray.errors import UserError
from r1ray.reward.extract import SPECIAL_TOKEN
from r1ray.runtime.model_files import has_token, load_tokenizer
from r1ray.stages.extend import add_tokens
from r1ray.stages.token_checks import check_pattern_of_rows, check_rewarded_pattern, check_same_prompts

CHAT = "{% for m in messages %}<u>{{ m['content'] }}{% endfor %}{% if add_generation_prompt %}<a>{% endif %}"


@pytest.fixture(scope="module")
def extended(llama_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The model with the pattern's token, as recipe=extend makes it."""
    folder = tmp_path_factory.mktemp("extended") / "model"
    add_tokens(str(llama_folder), [SPECIAL_TOKEN], folder)
    return folder


def changed(model: Path, folder: Path, change: Callable[[Any], object]) -> Path:
    """The model with another tokenizer."""
    tokenizer = AutoTokenizer.from_pretrained(model)
    change(tokenizer)
    tokenizer.save_pretrained(folder)
    for name in ("config.json", "model.safetensors"):
        shutil.copy(model / name, folder)
    return folder


def rewarded(weight: float, **part: Any) -> RewardConfig:
    return RewardConfig(parts={"accuracy": {}, "cold_start_format": {"weight": weight, **part}})


def load(folder: Path) -> Any:
    return AutoTokenizer.from_pretrained(folder)


def test_the_pattern_that_is_rewarded_has_to_be_a_token(llama_folder: Path, extended: Path) -> None:
    with pytest.raises(UserError) as raised:
        check_rewarded_pattern(load(llama_folder), rewarded(1.0), model=str(llama_folder))
    assert str(raised.value) == (
        f"model={llama_folder}: <|reasoning|>, which reward.parts.cold_start_format pays for, is no token of its "
        f"tokenizer. Add it, and give the folder that this makes: r1ray run recipe=extend model={llama_folder}"
    )
    check_rewarded_pattern(load(extended), rewarded(1.0), model="m")


@pytest.mark.parametrize("reward", [rewarded(0.0), rewarded(1.0, function="my:own"), RewardConfig()])
def test_what_is_only_logged_or_not_ours_needs_no_token(llama_folder: Path, reward: RewardConfig) -> None:
    check_rewarded_pattern(load(llama_folder), reward, model="m")


def test_a_pattern_with_another_token_needs_that_one(extended: Path) -> None:
    with pytest.raises(UserError, match=r"model=m: <cot>, which .* is no token"):
        check_rewarded_pattern(load(extended), rewarded(1.0, options={"special_token": "<cot>"}), model="m")


def test_a_token_that_decoding_drops_is_none(llama_folder: Path, tmp_path: Path) -> None:
    def special(tokenizer: Any) -> None:
        tokenizer.add_special_tokens({"additional_special_tokens": [AddedToken(SPECIAL_TOKEN, special=True)]})

    tokenizer = load(changed(llama_folder, tmp_path, special))
    assert not has_token(tokenizer, SPECIAL_TOKEN)
    with pytest.raises(UserError, match="is a special token of its tokenizer, and decoding leaves it out"):
        check_pattern_of_rows(tokenizer, 3, model="m", rows="supervised.train=x")


def test_a_word_that_is_unknown_is_no_token(qwen_folder: Path) -> None:
    assert not has_token(load(qwen_folder), SPECIAL_TOKEN)


def test_rows_in_the_pattern_need_its_token_and_others_do_not(llama_folder: Path, extended: Path) -> None:
    check_pattern_of_rows(load(llama_folder), 0, model="m", rows="supervised.train=x")
    check_pattern_of_rows(load(extended), 3, model="m", rows="supervised.train=x")
    with pytest.raises(UserError, match=r"which 3 answers in supervised\.train=x are written with, is no token"):
        check_pattern_of_rows(load(llama_folder), 3, model="m", rows="supervised.train=x")


def test_a_tokenizer_with_more_tokens_than_the_embedding_has_rows_is_refused(
    llama_folder: Path, tmp_path: Path, extended: Path
) -> None:
    folder = changed(llama_folder, tmp_path, lambda tokenizer: tokenizer.add_tokens(["<more>"]))
    rows = json.loads((llama_folder / "config.json").read_text())["vocab_size"]
    with pytest.raises(UserError, match=rf"its tokenizer has {rows + 1} tokens, its embedding {rows} rows.*extend"):
        load_tokenizer(str(folder), template="none")
    load_tokenizer(str(folder), template="none", may_lack_rows=True)
    load_tokenizer(str(extended), template="none")


def test_a_reward_model_reads_prompts_in_its_own_chat_template(llama_folder: Path, tmp_path: Path) -> None:
    def with_template(name: str, template: str) -> Path:
        return changed(llama_folder, tmp_path / name, lambda tokenizer: setattr(tokenizer, "chat_template", template))

    policy = load(with_template("policy", CHAT + "<think>\n"))
    check = {"model": "policy", "key": "reward.models.helpful.model"}
    check_same_prompts(policy, str(with_template("same", CHAT)), template="chat", **check)
    other = with_template("other", CHAT.replace("<u>", "<user>"))
    with pytest.raises(
        UserError, match=r"reward\.models\.helpful\.model=.*other: its chat template is not that of mod"
    ):
        check_same_prompts(policy, str(other), template="chat", **check)
    with pytest.raises(UserError, match="its chat template is not that of"):
        check_same_prompts(policy, str(llama_folder), template="chat", **check)
    check_same_prompts(policy, str(other), template="r1_zero", **check)


def test_a_reward_model_that_does_not_load_is_refused(llama_folder: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="not a model that transformers can load"):
        check_same_prompts(load(llama_folder), str(tmp_path), template="chat", model="m", key="k")
