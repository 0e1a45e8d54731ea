"""From samples to a data set. The samples are planted; tests/real/test_graph.py has a model write them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from r1ray.commands.compose import compose
from r1ray.config import RunConfig
from r1ray.curation.rows import DatasetRow, read_rows
from r1ray.errors import R1RayError, UserError
from r1ray.evaluation.records import Answered, Sample, to_json
from r1ray.stages.base import Context
from r1ray.stages.collect.stage import Collect, card_of
from tests.listening import listening


def prompts(folder: Path) -> Path:
    path = folder / "prompts.jsonl"
    rows = [
        {"id": "sum", "prompt": "What is the sum of two and three, as a number?", "check": math("5")},
        {"id": "free", "prompt": "Say something about the weather of today.", "check": {"type": "format"}},
    ]
    path.write_text("".join(json.dumps(row | {"language": "en", "domain": "d"}) + "\n" for row in rows))
    return path


def math(answer: str) -> dict[str, str]:
    return {"type": "math", "answer": answer}


def sample(text: str, *, value: float | None = 1.0, tokens: int = 10, cut: bool = False) -> Sample:
    fault = "machine" if value is None else None
    return Sample(
        text=text,
        num_tokens=tokens,
        is_truncated=cut,
        extracted=None,
        value=value,
        metrics={},
        detail="",
        fault=fault,  # type: ignore[arg-type]
    )


GOOD = "<think>two and three make five</think> It is <answer>5</answer>"


def collected(
    tmp_path: Path, model: Path, sums: Sequence[Sample], free: Sequence[Sample] = (), *overrides: str
) -> tuple[list[DatasetRow], dict[str, Any]]:
    """The rows and the card of a collection whose samples are these."""
    config = configured(tmp_path, model, *overrides)
    run_dir = tmp_path / "run"
    run_dir.mkdir(exist_ok=True)
    answered = [
        Answered(id=n, groups={}, num_prompt_tokens=3, samples=tuple(s), classes=None)
        for n, s in (("sum/plain", sums), ("free/plain", free or [sample("no", cut=True)]))
    ]
    lines = [json.dumps({"number": number, **to_json(question)}) for number, question in enumerate(answered)]
    (run_dir / "samples.jsonl").write_text("".join(line + "\n" for line in lines))
    artifact = Collect(config).run(Context(run_dir, tmp_path / "shared"), {}, "d")
    return list(read_rows(Path(artifact.path) / "data")), card_of(artifact.path)


def configured(tmp_path: Path, model: Path, *overrides: str) -> RunConfig:
    own = [f"model={model}", f"data.train={prompts(tmp_path)}", "recipe=collect", "data.template=none"]
    return compose([*own, "collect.max_tokens=16", *overrides])


def texts(rows: Sequence[DatasetRow]) -> list[str]:
    return [row.messages[-1]["content"] for row in rows]


def test_the_first_prompts_are_shown_as_they_are_asked(tmp_path: Path, llama_folder: Path) -> None:
    said: list[str] = []
    with listening(said.append):
        collected(tmp_path, llama_folder, [sample(GOOD)])
    (shown,) = [text for text in said if text.startswith("data.train: the first prompts as the model reads them")]
    assert "prompt sum/plain: " in shown and "reference: math, answer 5" in shown and "prompt free/plain: " in shown


def test_what_is_right_is_written_in_the_pattern_of_the_cold_start(tmp_path: Path, llama_folder: Path) -> None:
    rows, _ = collected(tmp_path, llama_folder, [sample("<think>two and three make five</think> It is \\boxed{5}.")])
    assert texts(rows) == ["<|reasoning|>two and three make five<|reasoning|>It is \\boxed{5}."]
    assert rows[0].messages[0] == {"role": "user", "content": "What is the sum of two and three, as a number?"}
    assert (rows[0].prompt_id, rows[0].reward, rows[0].source) == ("sum", 1.0, "plain")


def test_what_is_wrong_is_left_out_and_what_could_not_be_judged_is_not_called_wrong(
    tmp_path: Path, llama_folder: Path
) -> None:
    rows, card = collected(tmp_path, llama_folder, [sample(GOOD), sample(GOOD, value=0.0), sample(GOOD, value=None)])
    assert len(rows) == 1
    assert card["curation"]["removed"] == {"wrong": 1, "unscorable": 1, "cut": 1}


def test_prompts_without_a_reference_are_kept_by_the_filters_alone(tmp_path: Path, llama_folder: Path) -> None:
    good = "<think>the sun is out</think> It is warm today."
    rows, _ = collected(tmp_path, llama_folder, [sample(GOOD, value=0.0)], [sample(good, value=0.0), sample("bare")])
    assert [(row.prompt_id, row.reward) for row in rows] == [("free", None)]


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("<think>zwei und drei, 二加三等于五</think> It is 5.", "mixed_language"),
        ("<think>run:\n```python\nprint(2 + 3)\n```\n</think> It is 5.", "code_block"),
        (f"<think>{'so many words in one paragraph ' * 80}</think> It is 5.", "long_paragraph"),
        ("<think>two and three make five</think>", "no_summary"),
        ("<think>two <|reasoning|> three</think> It is 5.", "broken_pattern"),
    ],
)
def test_each_filter_of_rejection_sampling_is_counted(tmp_path: Path, llama_folder: Path, text: str, name: str) -> None:
    rows, card = collected(tmp_path, llama_folder, [sample(GOOD), sample(text)])
    assert len(rows) == 1
    assert card["curation"]["removed"][name] == 1


def test_the_shortest_of_a_prompts_different_responses_are_kept(tmp_path: Path, llama_folder: Path) -> None:
    ways = [f"<think>{words}</think> It is 5." for words in ("two and three", "three and two", "one more than four")]
    sums = [sample(text, tokens=tokens) for text, tokens in zip(ways * 2, (30, 10, 20, 30, 10, 20), strict=True)]
    rows, card = collected(tmp_path, llama_folder, sums, (), "collect.keep=2", "collect.similarity=1.0")
    assert [row.num_tokens for row in rows] == [10, 20]
    assert card["curation"]["removed"]["duplicate"] == 2
    assert card["curation"]["removed"]["enough_of_the_prompt"] == 2


def test_questions_that_are_evaluated_on_are_not_learned_from(tmp_path: Path, llama_folder: Path) -> None:
    held_out = tmp_path / "held_out.jsonl"
    row = {"prompt": "what is the SUM of two and three as a number", "check": math("5")}
    held_out.write_text(json.dumps(row) + "\n")
    with pytest.raises(R1RayError, match=r"nothing was kept of 2 samples: \{'contaminated': 1, 'cut': 1\}"):
        collected(tmp_path, llama_folder, [sample(GOOD)], (), f"collect.decontaminate=[{held_out}]")


def test_rows_of_the_users_are_mixed_in_by_their_ratio(tmp_path: Path, llama_folder: Path) -> None:
    chat = tmp_path / "chat.jsonl"
    chat.write_text("".join(json.dumps({"prompt": f"hello {i}", "response": "hello"}) + "\n" for i in range(3)))
    source = f"++collect.sources.chat={{path: {chat}, ratio: 0.5, licence: mine}}"
    rows, card = collected(tmp_path, llama_folder, [sample(GOOD)], (), source)
    assert sorted(row.source for row in rows) == ["chat", "plain"]
    assert card["manifest"]["counts"]["licence"] == {"mine": 1, "unknown": 1}


def test_chains_of_thought_before_the_users_answers_are_mixed_in_and_counted(
    tmp_path: Path, llama_folder: Path
) -> None:
    chat = tmp_path / "chat.jsonl"
    asked = ("hello", "Name a big river.", "Name a small one.")
    chat.write_text("".join(json.dumps({"prompt": text, "response": "The Rhine."}) + "\n" for text in asked))
    thoughts = ("<think>A river in Europe will do.</think>", "no thoughts")
    lines = [
        Answered(id=f"chat/row {n + 2}/{n + 1}", groups={}, num_prompt_tokens=3, samples=(sample(t),), classes=None)
        for n, t in enumerate(thoughts)
    ]
    (tmp_path / "run").mkdir()
    planted = "".join(json.dumps({"number": n, **to_json(line)}) + "\n" for n, line in enumerate(lines))
    (tmp_path / "run" / "thoughts.jsonl").write_text(planted)
    source = f"++collect.sources.chat={{path: {chat}, ratio: 0.67, reasoning: 1.0}}"
    rows, card = collected(tmp_path, llama_folder, [sample(GOOD)], (), source)
    from_chat = {text for row, text in zip(rows, texts(rows), strict=True) if row.source == "chat"}
    with_thoughts = "<|reasoning|>A river in Europe will do.<|reasoning|>The Rhine."
    assert from_chat == {"<|reasoning|><|reasoning|>The Rhine.", with_thoughts}
    found = card["curation"]["thinking"]["chat"]
    assert (found["num_prompted"], found["num_trivial"], found["left_out"]) == (1, 1, {"no_thoughts": 1})
    readme = (tmp_path / "run" / "dataset" / "README.md").read_text()
    assert "| chat | 3 | 1 | 0 | 1 | 0 | 1 | 1 no_thoughts |" in readme


def test_samples_of_other_prompts_are_not_taken_for_these(tmp_path: Path, llama_folder: Path) -> None:
    collected(tmp_path, llama_folder, [sample(GOOD)])
    context = Context(tmp_path / "run", tmp_path / "shared")
    with pytest.raises(UserError, match="was begun with other settings or inputs"):
        Collect(configured(tmp_path, llama_folder)).run(context, {}, "another digest")


def test_the_same_samples_make_the_same_data_set(tmp_path: Path, llama_folder: Path) -> None:
    sums = [sample(f"<think>two and three, {i} times thought over</think> It is 5.", tokens=i + 1) for i in range(6)]
    folders = tmp_path / "a", tmp_path / "b"
    for folder in folders:
        folder.mkdir()
    (_, first), (_, second) = (collected(folder, llama_folder, sums) for folder in folders)
    assert first["manifest"]["digest"] == second["manifest"]["digest"]


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("collect.filters=[nope]", r"collect\.filters: nope is none; needs some of cut"),
        ("++collect.options={nope: 1}", r"collect\.options=.*nope"),
        ("++collect.sources.x={path: /nowhere.jsonl}", r"collect\.sources\.x\.path=/nowhere\.jsonl: no such file"),
        ("data.environment=nowhere", r"prompts\.jsonl: row 1: .*nowhere"),
        ("data.environment=calculator", "data.template=none has no place for tools"),
        ("collect.decontaminate=[/nowhere.jsonl]", r"collect\.decontaminate=/nowhere\.jsonl: no such file"),
    ],
)
def test_what_cannot_be_collected_is_refused_before_anything_starts(
    tmp_path: Path, llama_folder: Path, override: str, message: str
) -> None:
    context = Context(tmp_path, tmp_path)
    with pytest.raises(UserError, match=message):
        Collect(configured(tmp_path, llama_folder, override)).run(context, {}, "d")
