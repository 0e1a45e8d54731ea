"""Files in, prompts out: layouts, quarantine, order, resumption."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from r1ray.data.layouts import final_answer
from r1ray.data.prompts import PromptCursor, PromptTable, spool_prompts
from r1ray.errors import UserError
from r1ray.types import Position

OWN = {"id": "a", "prompt": "1+1=", "check": {"type": "math", "answer": "2"}, "domain": "sums", "language": "zh"}
VERL = {
    "data_source": "gsm8k",
    "prompt": [{"role": "user", "content": "1+1?"}],
    "ability": "math",
    "reward_model": {"style": "rule", "ground_truth": "2"},
    "extra_info": {"split": "train", "index": 7},
}
OPEN_R1 = {"problem": "1+1?", "solution": r"It is \boxed{2}", "uuid": "u1"}


def jsonl(path: Path, rows: Sequence[dict[str, Any]]) -> str:
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))
    return str(path)


def parquet(path: Path, rows: Sequence[dict[str, Any]]) -> str:
    pq.write_table(pa.Table.from_pylist(list(rows)), path)
    return str(path)


def table(path: str, tmp_path: Path) -> PromptTable:
    spool_prompts(path, tmp_path / "spool.arrow", key="data.train")
    return PromptTable(tmp_path / "spool.arrow", render=lambda question: str(question))


@pytest.mark.parametrize("write", [jsonl, parquet])
@pytest.mark.parametrize(
    ("row", "layout", "prompt_id", "answer", "domain"),
    [
        (OWN, "r1ray", "a", "2", "sums"),
        (VERL, "verl", "7", "2", "math"),
        (OPEN_R1, "Hugging Face", "u1", "2", "math"),
        ({"question": "q", "answer": "so\n#### 1,234"}, "Hugging Face", "0", "1,234", "math"),
    ],
)
def test_layouts_load_as_they_are(
    tmp_path: Path, write: Any, row: dict[str, Any], layout: str, prompt_id: str, answer: str, domain: str
) -> None:
    path = write(tmp_path / ("f.jsonl" if write is jsonl else "f.parquet"), [row])
    report = spool_prompts(path, tmp_path / "spool.arrow", key="data.train")
    assert report.layout.startswith(layout)
    (prompt,) = [table(path, tmp_path)[0]]
    assert (prompt.id, prompt.check.answer, prompt.domain) == (prompt_id, answer, domain)


def test_rows_of_mixed_types_are_no_trouble(tmp_path: Path) -> None:
    rows = [{"question": "q", "answer": 3}, {"question": "q", "answer": "x"}, {"question": "q", "answer": 2.5}]
    loaded = table(jsonl(tmp_path / "f.jsonl", rows), tmp_path)
    assert [loaded[i].check.answer for i in range(3)] == ["3", "x", "2.5"]


def test_a_row_without_a_reference_is_quarantined_and_reported(tmp_path: Path) -> None:
    rows = [OWN, {**OWN, "id": "broken", "check": {"type": "math", "answer": " "}}]
    report = spool_prompts(jsonl(tmp_path / "f.jsonl", rows), tmp_path / "s.arrow", key="data.train")
    assert (report.num_rows, report.quarantined) == (1, ("broken (the reference answer is empty)",))


def test_malformed_rows_are_named_by_number(tmp_path: Path) -> None:
    rows = [OWN, {**OWN, "prompt": ""}, OWN, {**OWN, "check": "2"}]
    with pytest.raises(UserError, match=r"2 malformed rows of 4: row 2: prompt needs .*; row 4: check needs"):
        spool_prompts(jsonl(tmp_path / "f.jsonl", rows), tmp_path / "s.arrow", key="data.train")


def test_text_survives_unchanged(tmp_path: Path) -> None:
    question = 'Größe "x"\n计算 \\frac{1}{2} \u2028 end'
    loaded = table(jsonl(tmp_path / "f.jsonl", [{**OWN, "prompt": question}]), tmp_path)
    assert loaded[0].text == question


def test_rows_are_found_across_batches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("r1ray.data.prompts.BATCH_ROWS", 3)
    loaded = table(jsonl(tmp_path / "f.jsonl", [{**OWN, "id": str(i)} for i in range(8)]), tmp_path)
    assert [loaded[i].id for i in range(len(loaded))] == [str(i) for i in range(8)]


def test_every_epoch_is_another_order_of_all_prompts(tmp_path: Path) -> None:
    loaded = table(jsonl(tmp_path / "f.jsonl", [{**OWN, "id": str(i)} for i in range(20)]), tmp_path)
    cursor = PromptCursor(loaded, seed=1, position=Position())
    epochs = [[cursor.take()[1].id for _ in range(20)] for _ in range(2)]
    assert epochs[0] != epochs[1]
    assert sorted(epochs[0]) == sorted(epochs[1]) == sorted(map(str, range(20)))
    other = PromptCursor(loaded, seed=2, position=Position())
    assert [other.take()[1].id for _ in range(20)] != epochs[0]


@settings(max_examples=25, deadline=None)
@given(stop=st.integers(0, 40))
def test_a_position_says_everything(tmp_path_factory: pytest.TempPathFactory, stop: int) -> None:
    tmp_path = tmp_path_factory.mktemp("p")
    loaded = table(jsonl(tmp_path / "f.jsonl", [{**OWN, "id": str(i)} for i in range(9)]), tmp_path)
    whole = PromptCursor(loaded, seed=5, position=Position())
    taken = [whole.take() for _ in range(45)]
    first = PromptCursor(loaded, seed=5, position=Position())
    for _ in range(stop):
        first.take()
    second = PromptCursor(loaded, seed=5, position=first.position)
    assert [second.take() for _ in range(5)] == taken[stop : stop + 5]
    for position, prompt in taken[:stop]:
        assert second.at(position) == prompt


@pytest.mark.parametrize(
    ("solution", "answer"),
    [
        ("#### 7", "7"),
        (r"\boxed{1} no, \boxed{\frac{1}{2}}", r"\frac{1}{2}"),
        (r"\boxed{1", ""),
        (" 42 ", "42"),
    ],
)
def test_the_final_answer_of_a_solution(solution: str, answer: str) -> None:
    assert final_answer(solution) == answer
