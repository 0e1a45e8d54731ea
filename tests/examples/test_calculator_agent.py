"""The agent's task, dialogues and chat template are what its experiment claims of them."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from r1ray.errors import UserError
from r1ray.examples.calculator_agent.corpus import CALCULATOR, Corpus, prompt_of, turn_of
from r1ray.examples.calculator_agent.maker import make
from r1ray.examples.calculator_agent.task import LARGEST, SMALLEST, Sum, sample_sum
from r1ray.examples.calculator_agent.tokenizer import make_tokenizer

ASKED = Sum(((37, 82), (15,)))


def test_a_sum_is_written_and_added_up_as_in_the_readme() -> None:
    assert (ASKED.text, ASKED.answer) == ("37*82+15", 3049)


@given(st.integers(), st.sampled_from(["train", "eval"]))
def test_sums_have_two_to_five_different_numbers_and_splits_are_apart(seed: int, split: str) -> None:
    asked = sample_sum(random.Random(seed), split)  # type: ignore[arg-type]
    numbers = [number for term in asked.terms for number in term]
    assert asked.split == split
    assert 2 <= len(numbers) == len(set(numbers)) <= 5
    assert all(SMALLEST <= number <= LARGEST for number in numbers)
    assert asked.answer == eval(asked.text)


def test_the_corpus_never_shows_a_held_out_sum_and_calls_seldom() -> None:
    tokenizer, rng = make_tokenizer(), random.Random(0)
    corpus = Corpus(tokenizer)
    documents = [corpus(rng) for _ in range(3000)]
    for document in documents:
        text = document.prompt.partition("What is ")[2].partition("?")[0]
        terms = tuple(tuple(map(int, term.split("*"))) for term in text.split("+"))
        assert Sum(terms).split == "train"
    first = [document for document in documents if "<tool_response>" not in document.prompt]
    calls = [document for document in first if "<tool_call>" in document.completion]
    assert 0.05 < len(calls) / len(first) < 0.15
    assert all("<tools>" in document.prompt for document in calls)


def test_the_tokenizer_gives_every_document_and_every_ascii_text_back() -> None:
    tokenizer, rng = make_tokenizer(), random.Random(1)
    corpus = Corpus(tokenizer)
    documents = [corpus(rng) for _ in range(300)]
    others = ["The call is malformed: it is no valid JSON (~ at character 7).", '{"a": [1, 22, 333]}\n']
    for text in [*(d.prompt + d.completion for d in documents), *others]:
        ids = tokenizer(text, add_special_tokens=False)["input_ids"]
        assert tokenizer.decode(ids) == text
        assert tokenizer.pad_token_id not in ids


def test_the_template_writes_calls_as_the_corpus_does_and_takes_nothing_back() -> None:
    tokenizer = make_tokenizer()
    call = {"function": {"name": "calculator", "arguments": {"expression": ASKED.text}}}
    history = [
        {"role": "user", "content": f"What is {ASKED.text}?"},
        {"role": "assistant", "content": "", "tool_calls": [call]},
        {"role": "tool", "content": str(ASKED.answer)},
    ]
    whole = tokenizer.apply_chat_template(history, tools=[CALCULATOR], tokenize=False, add_generation_prompt=True)
    assert whole == prompt_of(tokenizer, ASKED, is_called=True)
    assert whole.startswith(prompt_of(tokenizer, ASKED) + turn_of(ASKED) + "<|im_end|>")


def test_marks_are_tokens_that_text_can_be_kept_from_spelling() -> None:
    added = {token.content: token.special for token in make_tokenizer().added_tokens_decoder.values()}
    assert added["<|im_start|>"] and added["<|im_end|>"]
    assert not added["<tool_call>"] and not added["</tool_response>"], "what the policy writes is seen in its text"


def test_a_base_that_is_no_fit_start_is_refused_with_a_way_out(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"not a fit start: .*Raise prepare.options.pretrain_steps"):
        make(tmp_path, seed=0, log=lambda text: None, pretrain_steps=2, num_train=4, num_eval=2, threads=1)
