"""The task in two languages is what its documents claim of it."""

from __future__ import annotations

import json
import random
import re
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from transformers import AddedToken

from r1ray.checks import MathAnswer
from r1ray.curation.filters import COLD_START, Example, FilterOptions, apply_filters
from r1ray.data.checks import parse_check
from r1ray.data.dialogues import recognise
from r1ray.data.pair_layouts import PAIRS
from r1ray.data.sft_layouts import EXAMPLES
from r1ray.errors import UserError
from r1ray.examples.bilingual_total import corpus, rewards, written
from r1ray.examples.bilingual_total.maker import Fitness, make, require_fit
from r1ray.examples.bilingual_total.phrases import LANGUAGES, PHRASES, Language, other
from r1ray.examples.bilingual_total.talk import every_talk
from r1ray.examples.bilingual_total.task import Expression, prompt_of, sample_expression, worked
from r1ray.examples.bilingual_total.tokenizer import SPARE_ROWS, make_tokenizer
from r1ray.examples.pretrain import Document, make_model
from r1ray.reward.extract import SPECIAL_TOKEN, final_answer
from r1ray.reward.format import cold_start_format_reward, cold_start_sections, sections
from r1ray.reward.language import language_consistency, language_share
from r1ray.types import Prompt, Response

EXPRESSION = Expression(24, (4, -5, 3))


def prompt(language: Language, answer: int = 26) -> Prompt:
    return Prompt(id="p", text="User:\nAssistant:", check=MathAnswer(str(answer)), domain="math", language=language)


def expression_of(question: str) -> Expression:
    text = re.sub(r"^User:(find |求)", "", question).removesuffix("\nAssistant:")
    start, *steps = re.findall(r"^\d+|[+-]\d", text)
    return Expression(int(start), tuple(int(step) for step in steps))


def documents(count: int, seed: int = 0) -> list[Document]:
    rng = random.Random(seed)
    return [corpus.sample_document(rng) for _ in range(count)]


def test_a_question_is_asked_and_solved_in_either_language_or_in_both() -> None:
    assert prompt_of(EXPRESSION, "en") == "User:find 24a+4b-5c+3\nAssistant:"
    assert prompt_of(EXPRESSION, "zh") == "User:求24a+4b-5c+3\nAssistant:"
    assert worked(EXPRESSION, "en") == "24a+4 makes 28b-5 leaves 23c+3 makes 26"
    assert worked(EXPRESSION, "zh") == "24a+4得28b-5剩23c+3得26"
    assert worked(EXPRESSION, ["en", "zh", "zh"]) == "24a+4 makes 28b-5剩23c+3得26"


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_language_reward_sees_each_word_between_the_numbers(language: Language) -> None:
    assert language_share(worked(EXPRESSION, language), language) == 1.0
    assert language_share(worked(EXPRESSION, other(language)), language) == 0.0
    half = worked(Expression(24, (4, -5)), [language, other(language)])
    assert language_share(half, language) == language_share(half, other(language)) == 0.5


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_phrase_is_of_its_language_and_none_of_the_other(language: Language) -> None:
    phrases = PHRASES[language]
    for phrase in (phrases.plus, phrases.start, phrases.wait, phrases.check, phrases.so, phrases.easy, phrases.maybe):
        assert language_share(phrase, language) == 1.0
        assert language_share(phrase, other(language)) == 0.0


def test_results_starts_and_guesses_are_as_many_words_in_both_languages() -> None:
    one, two = PHRASES["en"], PHRASES["zh"]
    for name in ("plus", "minus", "start", "easy", "maybe"):
        assert len(getattr(one, name).split()) == len(getattr(two, name))


@given(st.integers(), st.sampled_from(LANGUAGES))
def test_held_out_expressions_are_held_out_in_both_languages(seed: int, language: Language) -> None:
    expression = sample_expression(random.Random(seed), "eval")
    assert expression_of(prompt_of(expression, language)) == expression
    assert expression_of(prompt_of(expression, other(language))).split == "eval"


def test_neither_the_corpus_nor_what_people_write_shows_a_held_out_expression() -> None:
    rng = random.Random(1)
    asked = [d.prompt for d in documents(3000)] + [row["prompt"] for row in written.cold_start(rng, 300)]
    asked += [row["prompt"] for kind in written.KINDS for row in written.pairs(rng, 150, kind, "train")]
    questions = [text for text in asked if re.match(r"User:(find |求)\d", text)]
    assert len(questions) > 2000
    assert {expression_of(text).split for text in questions} == {"train"}


def test_half_of_the_worked_answers_of_the_corpus_mix_and_few_are_well_formed() -> None:
    questions = [d for d in documents(6000) if re.match(r"User:(find |求)\d", d.prompt)]
    kinds: dict[str, int] = dict.fromkeys(("consistent", "mixed", "foreign", "direct"), 0)
    for document in questions:
        language: Language = "en" if document.prompt.startswith("User:find") else "zh"
        for kind in kinds:
            kinds[kind] += int(getattr(rewards, kind)(prompt(language), Response(document.completion, finished=True)))
    assert sum(kinds.values()) == len(questions)
    steps = sum(kinds.values()) - kinds["direct"]
    assert 0.35 < steps / len(questions) < 0.48
    assert 0.44 < kinds["mixed"] / steps < 0.62
    formed = [d for d in questions if sections(d.completion) is not None]
    assert 0.18 < len(formed) / len(questions) < 0.26


def test_a_mistaken_fact_is_wrong_by_one_in_one_language_only() -> None:
    facts = [
        (total, operand) for total in range(50) for operand in range(-5, 6) if operand and 0 <= total + operand < 50
    ]
    wrong = {fact: corpus.mistaken(*fact) for fact in facts if corpus.mistaken(*fact) is not None}
    assert 0.12 < len(wrong) / len(facts) < 0.22
    assert all(abs(found - sum(fact)) == 1 and 0 <= found < 50 for fact, found in wrong.items() if found is not None)
    (start, operand), found = next(iter(wrong.items()))
    known = corpus.known_in(operand)
    told = {
        language: [corpus.told(random.Random(seed), start, operand, language) for seed in range(200)]
        for language in LANGUAGES
    }
    assert told[known].count(start + operand) > 180
    assert told[other(known)].count(found) > 170  # type: ignore[arg-type]


def test_the_tokenizer_gives_every_text_back() -> None:
    tokenizer, rng = make_tokenizer(), random.Random(2)
    tokenizer.add_tokens([AddedToken(SPECIAL_TOKEN, special=False, normalized=False)])  # as recipe=extend does
    texts = [d.prompt + d.completion for d in documents(400, seed=3)]
    for row in written.cold_start(rng, 50):
        texts.append(f"{row['prompt']}<|reasoning|>{row['reasoning']}<|reasoning|>{row['summary']}")
    for row in written.pairs(rng, 50, "helpful", "train") + written.pairs(rng, 50, "harmless", "eval"):
        texts += [row["prompt"] + row["chosen"], row["prompt"] + row["rejected"]]
    for text in texts:
        ids = tokenizer(text, add_special_tokens=False)["input_ids"]
        assert tokenizer.decode(ids) == text
        assert tokenizer.unk_token_id not in ids and tokenizer.pad_token_id not in ids


def test_questions_are_as_many_tokens_in_both_languages() -> None:
    tokenizer = make_tokenizer()
    one, two = (tokenizer(prompt_of(EXPRESSION, language))["input_ids"] for language in LANGUAGES)
    assert len(one) == len(two) == 1 + 1 + 4 + 1


def test_messages_are_shown_as_the_prompts_and_answers_that_they_are() -> None:
    (row, *_) = written.dialogues(random.Random(0), 4)
    question, answer = (message["content"] for message in row["messages"])
    tokenizer = make_tokenizer()
    assert tokenizer.apply_chat_template(row["messages"], tokenize=False) == question + answer
    shown = tokenizer.apply_chat_template(row["messages"][:1], tokenize=False, add_generation_prompt=True)
    assert shown == question


@pytest.mark.parametrize("num_heads", [2, 3])
def test_a_model_has_rows_for_tokens_that_a_later_stage_adds(num_heads: int) -> None:
    tokenizer = make_tokenizer()
    model = make_model(tokenizer, seed=0, num_heads=num_heads, spare_rows=SPARE_ROWS)
    assert tokenizer.add_tokens([f"<|extra {n}|>" for n in range(SPARE_ROWS)]) == SPARE_ROWS
    assert len(tokenizer) <= model.get_input_embeddings().weight.shape[0]


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("<think></think><answer>4</answer>", "direct"),
        ("<think>very easy</think><answer>4</answer>", "direct"),
        ("<think>1a+3 makes 4</think><answer>4</answer>", "consistent"),
        ("<think>1a+3 makes 4b-1剩3</think><answer>3</answer>", "mixed"),
        ("<think>1a+3得4</think><answer>4</answer>", "foreign"),
    ],
)
def test_each_answer_is_of_one_kind(text: str, kind: str) -> None:
    kinds = ("direct", "consistent", "mixed", "foreign")
    found = {name: getattr(rewards, name)(prompt("en"), Response(text, finished=True)) for name in kinds}
    assert found == {name: float(name == kind) for name in kinds}


def test_cold_start_examples_are_right_readable_and_in_the_prompts_language() -> None:
    rows = written.cold_start(random.Random(4), 300)
    tokenizer = make_tokenizer()
    for row in rows:
        text = f"<|reasoning|>{row['reasoning']}<|reasoning|>{row['summary']}"
        asked, response = prompt(row["language"]), Response(text, finished=True)
        assert language_consistency(asked, response) == 1.0
        assert cold_start_format_reward(asked, response) == 1.0
        assert cold_start_sections(text) == (row["reasoning"], row["summary"])
        assert final_answer(text) == str(expression_of(row["prompt"]).answer) == row["check"]["answer"]
        example = Example(
            prompt=row["prompt"],
            reasoning=row["reasoning"],
            summary=row["summary"],
            language=row["language"],
            response=text,
            is_cut=False,
        )
        assert apply_filters(example, COLD_START, FilterOptions()) is None
        assert len(tokenizer(row["prompt"] + text)["input_ids"]) <= 80
    assert [row["language"] for row in rows] == ["en", "zh"] * 150
    said = [(prompt("en"), Response(row["reasoning"], finished=True)) for row in rows]
    assert sum(rewards.wait(*each) for each in said) > 60 and sum(rewards.check(*each) for each in said) > 90


def test_of_a_pair_the_fuller_or_the_kinder_answer_is_chosen() -> None:
    insults = [phrases.insult for phrases in PHRASES.values()]
    for kind in written.KINDS:
        rows = written.pairs(random.Random(5), 200, kind, "train")
        for row in rows:
            chosen, rejected, phrases = row["chosen"], row["rejected"], PHRASES[row["language"]]  # type: ignore[index]
            assert chosen != rejected
            assert not any(insult in chosen for insult in insults)
            if kind == "helpful":
                assert "<|reasoning|>" not in chosen + rejected
                assert chosen.endswith(phrases.closing)
            else:
                assert phrases.insult in rejected
                assert ("<|reasoning|>" in chosen) == ("<|reasoning|>" in rejected)
        asked = {(row["language"], row["prompt"].startswith(("User:find ", "User:求"))) for row in rows}
        assert len(asked) == 4


def test_held_out_pairs_are_of_held_out_prompts() -> None:
    prompts = [
        {row["prompt"] for kind in written.KINDS for row in written.pairs(random.Random(5), 200, kind, split)}
        for split in ("train", "eval")
    ]
    assert all(len(of_split) > 50 for of_split in prompts)
    assert not prompts[0] & prompts[1]


def test_prompts_without_a_rule_are_distinct_and_as_many_in_each_language() -> None:
    train, held_out = every_talk("train"), every_talk("eval")
    assert len({talk.prompt for talk in train + held_out}) == len(train) + len(held_out) == 48
    for talks in (train, held_out):
        assert [talk.language for talk in talks] == ["en"] * (len(talks) // 2) + ["zh"] * (len(talks) // 2)
    assert len(held_out) == 16


@pytest.mark.parametrize(
    ("text", "formed", "readable"),
    [
        ("<think>24a+4 makes 28</think><answer>28</answer>", 1.0, 1.0),
        ("<|reasoning|>24a+4 makes 28<|reasoning|>the answer is 28", 1.0, 1.0),
        ("<|reasoning|>24a+4得28<|reasoning|>the answer is 28", 1.0, 0.0),
        ("<think>24a+4 makes 28\n<answer>28</answer>", 0.0, 0.0),
        ("24a+4 makes 28. so it is 28", 0.0, 0.0),
    ],
)
def test_form_is_either_pattern_and_readable_is_what_the_cold_start_keeps(
    text: str, formed: float, readable: float
) -> None:
    response = Response(text, finished=True)
    assert (rewards.formed(prompt("en"), response), rewards.readable(prompt("en"), response)) == (formed, readable)
    assert rewards.formed(prompt("en"), Response(text, finished=False)) == 0.0


def test_polite_is_a_polite_end_without_an_insult() -> None:
    said = {
        text: rewards.polite(prompt("en"), Response(text, finished=True))
        for text in (
            "the sea is calm and old. glad to help!",
            "calm",
            "the sea is calm and old, you fool. glad to help!",
        )
    }
    assert list(said.values()) == [1.0, 0.0, 0.0]


def test_a_short_pretraining_makes_every_file(tmp_path: Path) -> None:
    options: dict[str, Any] = {"num_train": 8, "num_eval": 6, "num_cold_start": 4, "num_pairs": 8, "num_dialogues": 4}
    lines: list[str] = []
    make(
        tmp_path,
        seed=0,
        log=lines.append,
        pretrain_steps=3,
        student_steps=2,
        tokens_per_step=128,
        threads=1,
        num_fitness=0,
        **options,
    )
    tables = {
        name: pq.read_table(tmp_path / f"{name}.parquet").to_pylist()
        for name in ("train", "heldout", "general_heldout")
    }
    assert [len(tables[name]) for name in ("train", "heldout")] == [8, 6]
    for rows in tables.values():
        assert {row["language"] for row in rows} == {"en", "zh"}
        assert all(parse_check(row["check"]) is not None for row in rows)
    assert not {row["id"] for row in tables["train"]} & {row["id"] for row in tables["heldout"]}
    cold, talk = (
        [json.loads(line) for line in (tmp_path / name).read_text(encoding="utf-8").splitlines()]
        for name in ("cold_start.jsonl", "sft.jsonl")
    )
    assert (len(cold), len(talk)) == (4, 4)
    scenarios = pq.read_table(tmp_path / "scenarios.parquet").to_pylist()
    assert [row["domain"] for row in scenarios] == ["math"] * 8 + ["general"] * 32
    for kind in ("helpful", "harmless"):
        assert pq.read_metadata(tmp_path / f"{kind}.parquet").num_rows == 8
        assert pq.read_metadata(tmp_path / f"{kind}_heldout.parquet").num_rows == 6
    pairs = pq.read_table(tmp_path / "helpful.parquet")
    layouts = (recognise(frozenset(talk[0]), EXAMPLES), recognise(frozenset(pairs.column_names), PAIRS))
    assert [layout and layout.name for layout in layouts] == [
        "chat messages (messages)",
        "prompt and two answers (prompt, chosen, rejected)",
    ]
    sizes = [(tmp_path / name / "model.safetensors").stat().st_size for name in ("model", "student")]
    assert sizes[1] < 0.6 * sizes[0]


@pytest.mark.parametrize(
    ("found", "message"),
    [
        (Fitness(0.3, 0.05, 0.01, 0.5), "right 5.0% of the time"),
        (Fitness(0.3, 0.15, 0.10, 0.5), "twice the 10.0% of direct ones"),
        (Fitness(0.3, 0.15, 0.03, 0.1), "10.0% of its worked answers mix languages"),
    ],
)
def test_a_base_that_is_no_fit_start_is_refused_with_a_way_out(found: Fitness, message: str) -> None:
    with pytest.raises(UserError, match=rf"not a fit start: .*{message}.*Raise prepare.options.pretrain_steps"):
        require_fit(found, min_worked_accuracy=0.10)
    require_fit(Fitness(0.3, 0.15, 0.03, 0.5), min_worked_accuracy=0.10)


def test_the_widths_of_the_other_examples_models_have_not_changed() -> None:
    config = make_model(make_tokenizer(), seed=0).config
    assert (config.hidden_size, config.intermediate_size, config.num_attention_heads) == (96, 256, 3)
