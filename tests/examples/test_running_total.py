"""The quickstart's task and corpus are what quickstart claims of them."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from r1ray.errors import UserError
from r1ray.examples.running_total import rewards
from r1ray.examples.running_total.corpus import sample_document
from r1ray.examples.running_total.maker import make
from r1ray.examples.running_total.task import MAX_TOTAL, Expression, sample_expression
from r1ray.examples.running_total.tokenizer import make_tokenizer
from r1ray.reward.extract import final_answer
from r1ray.reward.format import sections
from r1ray.types import Response
from tests.fakes import make_prompt


def test_an_expression_is_written_and_added_up_as_in_the_readme() -> None:
    expression = Expression(24, (4, 3, -5, 3))
    assert (expression.text, expression.totals, expression.answer) == ("24a+4b+3c-5d+3", (28, 31, 26, 29), 29)


@given(st.integers(), st.sampled_from(["train", "eval"]))
def test_totals_stay_in_range_and_splits_are_apart(seed: int, split: str) -> None:
    expression = sample_expression(random.Random(seed), split)  # type: ignore[arg-type]
    assert expression.split == split
    assert 3 <= len(expression.operands) <= 7
    assert all(0 <= total <= MAX_TOTAL for total in expression.totals)


def test_the_corpus_never_shows_a_held_out_expression_and_is_mostly_badly_formed() -> None:
    rng = random.Random(0)
    documents = [sample_document(rng) for _ in range(4000)]
    questions = [d for d in documents if d.prompt]
    for document in questions:
        text = document.prompt.removeprefix("User:").removesuffix("\nAssistant:")
        start = "".join(c for c in text[:2] if c.isdigit())
        signs = [int(part) for part in "".join(c if not c.isalpha() else " " for c in text[len(start) :]).split()]
        assert Expression(int(start), tuple(signs)).split == "train"
    formed = [d for d in questions if sections(d.completion) is not None]
    worked = [d for d in formed if "=" in d.completion]
    assert 0.18 < len(formed) / len(questions) < 0.26
    assert 0.05 < len(worked) / len(questions) < 0.10


def test_the_tokenizer_gives_every_document_back() -> None:
    tokenizer, rng = make_tokenizer(), random.Random(1)
    for _ in range(300):
        document = sample_document(rng)
        text = document.prompt + document.completion
        ids = tokenizer(text, add_special_tokens=False)["input_ids"]
        assert tokenizer.decode(ids) == text
        assert tokenizer.pad_token_id not in ids


def test_the_tokenizer_survives_auto_tokenizer(qwen_folder: Path) -> None:
    from transformers import AutoTokenizer

    loaded = AutoTokenizer.from_pretrained(qwen_folder)
    text = "User:24a+4b+3c-5\nAssistant:<think>24a+4=28</think><answer>26</answer>"
    assert loaded(text)["input_ids"] == make_tokenizer()(text)["input_ids"]


@pytest.mark.parametrize(
    ("text", "style"),
    [
        ("<think></think><answer>4</answer>", "direct"),
        ("<think>1a+3=4</think><answer>4</answer>", "worked"),
        ("<think>1a+3=4check1a+3=4</think><answer>4</answer>", "check"),
    ],
)
def test_each_text_has_one_style(text: str, style: str) -> None:
    response = Response(text, finished=True)
    styles = {name: getattr(rewards, name)(make_prompt(), response) for name in ("direct", "worked", "check")}
    assert styles == {name: float(name == style) for name in styles}
    assert rewards.well_formed(make_prompt(), response) == 1.0
    assert final_answer(text) == "4"


def test_a_base_that_is_no_fit_start_is_refused_with_a_way_out(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"not a fit start: .*Raise prepare.options.pretrain_steps"):
        make(tmp_path, seed=0, log=lambda text: None, pretrain_steps=2, num_train=4, num_eval=2, threads=1)
