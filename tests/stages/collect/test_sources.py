"""Rows of the user's, and the chains of thought before their answers. What is thought is planted here; in
tests/real/test_graph.py a model thinks."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from transformers import AutoTokenizer

from r1ray.config import CollectConfig
from r1ray.curation.card import Thinking
from r1ray.curation.filters import COLD_START, FilterOptions
from r1ray.curation.rows import DatasetRow
from r1ray.errors import UserError
from r1ray.evaluation.records import Answered, Sample
from r1ray.reward.extract import after_think
from r1ray.reward.format import cold_start_sections
from r1ray.stages.collect.sources import Sources

CHAT = [
    {"prompt": "Hello!", "response": "Hello! How can I help?"},
    {"prompt": "Write a line about rain in spring.", "response": "Rain taps on the new leaves."},
    {"prompt": "Who wrote the play Faust?", "response": "Goethe did."},
    {"prompt": "And one about snow?", "response": "<|reasoning|>They want snow.<|reasoning|>Snow is quiet."},
]
GOOD = "<think>They ask for a line about rain, so I think of leaves.</think>"


def sources(tmp_path: Path, model: Path, rows: Sequence[dict[str, Any]] = CHAT, **source: Any) -> Sources:
    path = tmp_path / "chat.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    settings = CollectConfig(sources={"chat": {"path": str(path), "ratio": 0.5, "reasoning": 1.0, **source}})
    settings.max_tokens = 64
    return Sources(
        settings,
        seed=0,
        stage="s",
        render=str,
        tokenizer=AutoTokenizer.from_pretrained(model),
        context=1024,
        filters=COLD_START,
        options=FilterOptions(),
    )


def thought(made: Sources, *texts: str, cut: bool = False) -> tuple[list[DatasetRow], Thinking]:
    """The rows and what became of them, where the model thought this, in order."""
    prompts = made.prompts
    assert len(texts) == len(prompts)
    answered = {}
    for number, text in enumerate(texts):
        sample = Sample(
            text=text, num_tokens=9, is_truncated=cut, extracted=None, value=None, metrics={}, detail="", fault=None
        )
        answered[number] = Answered(
            id=prompts[number].id, groups={}, num_prompt_tokens=3, samples=(sample,), classes=None
        )
    rows, thinking = made.written(answered)
    return rows["chat"], thinking["chat"]


def texts(rows: Sequence[DatasetRow]) -> list[str]:
    return [row.messages[-1]["content"] for row in rows]


def test_thoughts_stand_before_the_users_answer_and_before_trivial_ones_stands_nothing(
    tmp_path: Path, llama_folder: Path
) -> None:
    rows, thinking = thought(sources(tmp_path, llama_folder), GOOD, "<think>A question of fact: Goethe.</think>")
    assert texts(rows) == [
        "<|reasoning|><|reasoning|>Hello! How can I help?",
        "<|reasoning|>They ask for a line about rain, so I think of leaves.<|reasoning|>Rain taps on the new leaves.",
        "<|reasoning|>A question of fact: Goethe.<|reasoning|>Goethe did.",
        "<|reasoning|>They want snow.<|reasoning|>Snow is quiet.",
    ]
    assert thinking == Thinking(num_rows=4, num_prompted=2, num_own=1, num_trivial=1, num_not_drawn=0)


def test_an_empty_chain_of_thought_is_one_that_rewards_and_evaluation_can_read(
    tmp_path: Path, llama_folder: Path
) -> None:
    rows, _ = thought(sources(tmp_path, llama_folder), GOOD, GOOD)
    assert cold_start_sections(texts(rows)[0]) == ("", "Hello! How can I help?")
    assert after_think(texts(rows)[0]) == "Hello! How can I help?"


def test_the_model_is_shown_the_request_and_the_answer(tmp_path: Path, llama_folder: Path) -> None:
    asked = sources(tmp_path, llama_folder).prompts
    assert [prompt.id for prompt in asked.values()] == ["chat/row 2/1", "chat/row 3/2"]
    assert "Write a line about rain in spring." in asked[0].text and "Rain taps on the new leaves." in asked[0].text
    chinese = sources(tmp_path, llama_folder, language="zh").prompts
    assert "只用中文思考" in chinese[0].text


def test_thoughts_that_are_not_fit_to_learn_from_take_their_row_with_them_and_are_counted(
    tmp_path: Path, llama_folder: Path
) -> None:
    rows, thinking = thought(sources(tmp_path, llama_folder), "no marks", "<think>这是一个关于雨的问题</think>")
    assert len(rows) == 2
    assert thinking.left_out == {"no_thoughts": 1, "mixed_language": 1} and thinking.num_prompted == 0
    _, thinking = thought(sources(tmp_path, llama_folder), "<think>They <|reasoning|> ask.</think>", GOOD)
    assert thinking.left_out == {"broken_pattern": 1}
    _, thinking = thought(sources(tmp_path, llama_folder), GOOD, GOOD, cut=True)
    assert thinking.left_out == {"cut": 2}


def test_a_share_is_drawn_by_names_and_the_rest_is_written_without(tmp_path: Path, llama_folder: Path) -> None:
    many = [{"id": str(i), "prompt": f"Tell me of day {i}.", "response": "It rained."} for i in range(200)]
    drawn = {p.id for p in sources(tmp_path, llama_folder, many, reasoning=0.3).prompts.values()}
    assert 40 <= len(drawn) <= 80
    again = sources(tmp_path, llama_folder, many[::-1], reasoning=0.3)
    assert {p.id.split("/")[1] for p in again.prompts.values()} == {name.split("/")[1] for name in drawn}
    rows, thinking = thought(again, *[GOOD] * len(drawn))
    assert thinking.num_not_drawn == 200 - len(drawn) == sum(t.startswith("<|reasoning|><|") for t in texts(rows))


def test_without_reasoning_rows_are_taken_as_they_are(tmp_path: Path, llama_folder: Path) -> None:
    made = sources(tmp_path, llama_folder, reasoning=0.0)
    rows, thinking = made.written({})
    assert made.prompts == {} and thinking == {} and made.max_model_len == 0
    assert texts(rows["chat"]) == [row["response"] for row in CHAT]


@pytest.mark.parametrize(
    ("rule", "trivial"),
    [({}, 1), ({"trivial_words": 5}, 2), ({"trivial_patterns": ["who wrote .*"]}, 1), ({"trivial_column": "easy"}, 2)],
)
def test_what_is_trivial_is_said_by_words_patterns_or_a_column(
    tmp_path: Path, llama_folder: Path, rule: dict[str, Any], trivial: int
) -> None:
    rows = [{**row, "easy": "rain" in row["prompt"]} for row in CHAT]
    made = sources(tmp_path, llama_folder, rows, **rule)
    _, thinking = thought(made, *[GOOD] * len(made.prompts))
    assert thinking.num_trivial == trivial


def test_only_the_last_answer_of_a_dialogue_gets_thoughts(tmp_path: Path, llama_folder: Path) -> None:
    turns = ["Hello!", "Hello.", "Name a river.", "The Rhine."]
    messages = [{"role": "user" if i % 2 == 0 else "assistant", "content": t} for i, t in enumerate(turns)]
    made = sources(tmp_path, llama_folder, [{"messages": messages}])
    assert "user: Hello!\n\nassistant: Hello.\n\nuser: Name a river." in made.prompts[0].text
    (row,), _ = thought(made, "<think>A river: the Rhine.</think>")
    assert [m["content"] for m in row.messages] == [
        *turns[:3],
        "<|reasoning|>A river: the Rhine.<|reasoning|>The Rhine.",
    ]


def test_what_does_not_fit_into_the_context_is_left_out_and_counted(tmp_path: Path, llama_folder: Path) -> None:
    long = {"prompt": "Write of rain. " * 60, "response": "Rain."}
    made = sources(tmp_path, llama_folder, [*CHAT, long])
    _, thinking = thought(made, GOOD, GOOD)
    assert thinking.left_out == {"too_long_to_ask": 1} and made.max_model_len <= 1024


def test_rows_without_an_answer_are_left_out_and_malformed_ones_refused(tmp_path: Path, llama_folder: Path) -> None:
    empty = {"prompt": "Say something.", "response": ""}
    rows, _ = thought(sources(tmp_path, llama_folder, [*CHAT, empty]), GOOD, GOOD)
    assert len(rows) == 4
    with pytest.raises(UserError, match=r"collect\.sources\.chat\.path=.*: row 1: prompt needs a string"):
        sources(tmp_path, llama_folder, [{"prompt": 5, "response": "x"}])
    with pytest.raises(UserError, match=r"collect\.sources\.chat\.trivial_column=easy: row 1 of .* has no such column"):
        sources(tmp_path, llama_folder, CHAT, trivial_column="easy")


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ({"reasoning": 1.5}, "reasoning=1.5: needs to be at least 0 and at most 1"),
        ({"trivial_words": -1}, "trivial_words=-1"),
        ({"trivial_patterns": ["("]}, r"trivial_patterns: '\(' is no regular expression"),
    ],
)
def test_what_makes_no_sense_is_refused(source: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=f"collect.sources.chat: {message}"):
        CollectConfig(sources={"chat": {"path": "p", **source}})
