"""Columns of the user's own: names for them, checks made of rows, and what travels with a prompt."""

from __future__ import annotations

import datetime
import decimal
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from r1ray.checks import Check, CodeTests, MathAnswer, OwnCheck, StdioCase
from r1ray.data.checks import MalformedRow, UnusableRow, dump_check, load_check, parse_check
from r1ray.data.own_columns import FILE, MAX_CARRIED, NOT_CARRIED, OwnColumns, answer_of, carried
from r1ray.data.prompt_rows import SpoolReport, spool_prompts
from r1ray.data.prompts import PromptTable
from r1ray.errors import UserError

ROW = {"q": "1+1?", "label": "2", "level": 3, "tags": ["sum", "easy"], "extra": {"source": "own"}}


def read(
    rows: Sequence[Mapping[str, Any]], folder: Path, columns: OwnColumns, *, key: str = "data.train"
) -> SpoolReport:
    path = folder / "rows.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return spool_prompts(str(path), folder / "spool.arrow", key=key, columns=columns)


def table(folder: Path) -> PromptTable:
    return PromptTable(folder / "spool.arrow", render=str)


def test_columns_are_read_under_r1rays_names_and_all_of_them_travel_with_the_prompt(tmp_path: Path) -> None:
    read([ROW], tmp_path, OwnColumns({"prompt": "q", "answer": "label", "domain": "level"}))
    prompt = table(tmp_path)[0]
    assert (prompt.text, prompt.check, prompt.domain) == ("1+1?", MathAnswer("2"), "3")
    assert prompt.columns == ROW


def test_columns_of_a_known_layout_travel_too(tmp_path: Path) -> None:
    row = {"question": "1+1?", "answer": "so\n#### 2", "level": 3}
    read([row], tmp_path, OwnColumns())
    assert table(tmp_path)[0].columns == row


def test_a_known_layout_is_read_after_some_of_its_columns_were_named(tmp_path: Path) -> None:
    row = {"q": "1+1?", "solution": r"It is \boxed{2}", "subject": "sums", "uid": 7}
    report = read([row], tmp_path, OwnColumns({"prompt": "q", "answer": "solution"}))
    assert (report.layout, table(tmp_path)[0].check) == ("data.columns", MathAnswer("2"))
    row = {"problem": "1+1?", "solution": r"It is \boxed{2}", "subject": "sums", "uid": 7}
    report = read([row], tmp_path, OwnColumns({"domain": "subject", "id": "uid"}))
    prompt = table(tmp_path)[0]
    assert (prompt.id, prompt.domain, prompt.check) == ("7", "sums", MathAnswer("2"))


def test_checks_and_tests_may_be_json_text(tmp_path: Path) -> None:
    rows: list[dict[str, Any]] = [
        {"q": "1+1?", "c": '{"type": "math", "answer": "2"}'},
        {"q": "?", "c": {"type": "format"}},
    ]
    read(rows, tmp_path, OwnColumns({"prompt": "q", "check": "c"}))
    assert table(tmp_path)[0].check == MathAnswer("2")
    cases: list[object] = ['{"inputs": ["1\\n"], "outputs": ["2\\n"]}', [{"input": "1\n", "output": "2\n"}]]
    read([{"q": "?", "t": case} for case in cases], tmp_path, OwnColumns({"prompt": "q", "tests": "t"}))
    for index in range(2):
        prompt = table(tmp_path)[index]
        assert prompt.check == CodeTests(language="python", cases=(StdioCase("1\n", "2\n"),))
        assert prompt.domain == "code"


@pytest.mark.parametrize(
    ("names", "said"),
    [
        ({"prompt": "quest"}, r"data.columns=\{prompt: quest\}: .* has no such column; found the columns extra, label"),
        ({"answer": "label"}, r"needs data.columns=\{prompt: COLUMN\}"),
        ({"domain": "level"}, "needs those of one of the"),
    ],
)
def test_columns_that_are_not_there_are_refused(tmp_path: Path, names: dict[str, str], said: str) -> None:
    with pytest.raises(UserError, match=said):
        read([ROW], tmp_path, OwnColumns(names))


def test_held_out_prompts_may_be_in_a_layout_of_their_own(tmp_path: Path) -> None:
    columns = OwnColumns({"prompt": "q", "answer": "label"})
    assert read([{"question": "1+1?", "answer": "2"}], tmp_path, columns, key="data.eval").num_rows == 1
    with pytest.raises(UserError, match="has no such column"):
        read([{"question": "1+1?", "answer": "2"}], tmp_path, columns)


@pytest.mark.parametrize(
    "value",
    [True, ["2", "3"], {"target": 2}, '{"target": 2}', "First, add the two numbers.\nThen it is 2.", b"2"],
    ids=repr,
)
def test_what_is_no_answer_never_becomes_one(value: object) -> None:
    with pytest.raises((MalformedRow, UnusableRow), match="answer"):
        answer_of(value)


@pytest.mark.parametrize(
    ("value", "answer"),
    [(2, "2"), (2.5, "2.5"), (" x ", "x"), ("a\n#### 2", "2"), (decimal.Decimal("1.50"), "1.50"), (None, "")],
)
def test_answers_are_texts_and_numbers(value: object, answer: str) -> None:
    assert answer_of(value) == MathAnswer(answer)


def test_a_function_makes_the_check_of_a_row_and_rows_without_one_are_left_out(tmp_path: Path) -> None:
    def check(row: Mapping[str, Any]) -> Check | None:
        return MathAnswer(str(row["level"])) if row["level"] else None

    report = read([ROW, ROW | {"level": 0}], tmp_path, OwnColumns({"prompt": "q"}, check))
    assert (report.num_rows, report.quarantined) == (1, ("row 2 (data.check returned None for it)",))
    assert table(tmp_path)[0].check == MathAnswer("3")


def test_a_check_of_the_users_own_is_kept_with_its_data() -> None:
    check = parse_check({"type": "my_checks:contains", "word": "Paris", "unused": None})
    assert check == OwnCheck("my_checks:contains", '{"word": "Paris"}')
    assert load_check(dump_check(check)) == check
    with pytest.raises(MalformedRow, match=r"or package\.module:function"):
        parse_check({"type": "maths"})


def test_images_and_very_long_values_stay_behind_and_that_is_said(tmp_path: Path) -> None:
    row = {
        "question": "1+1?",
        "answer": "2",
        "image": {"bytes": b"png", "path": "a.png"},
        "long": "x" * MAX_CARRIED,
        "day": datetime.date(2025, 1, 2),
    }
    pq.write_table(pa.Table.from_pylist([row, row]), tmp_path / "rows.parquet")
    own = OwnColumns({"prompt": "question", "answer": "answer"})
    report = spool_prompts(str(tmp_path / "rows.parquet"), tmp_path / "spool.arrow", key="data.train", columns=own)
    assert report.not_carried == {"image": 2, "long": 2}
    assert report.not_shown == {"image": 2}
    assert "asked without these columns of images, videos or sound: image (2 rows)" in report.remarks[0]
    assert "image (2 rows), long (2 rows)" in report.remarks[1]
    assert table(tmp_path)[0].columns == {"question": "1+1?", "answer": "2", "day": "2025-01-02"}


IMAGE = {"question": "1+1?", "answer": "2", "image": "a.png", "uid": 7}
"""Without ``data.columns`` the row is refused; ``uid`` alone leaves the rest to its layout."""


@pytest.mark.parametrize("names", [{"prompt": "question", "answer": "answer"}, {"id": "uid"}])
def test_an_image_column_that_is_not_named_stays_behind_with_a_line(tmp_path: Path, names: dict[str, str]) -> None:
    with pytest.raises(UserError, match="the column image holds an image"):
        read([IMAGE], tmp_path, OwnColumns())
    report = read([IMAGE, IMAGE | {"image": None}], tmp_path, OwnColumns(names))
    assert (report.num_rows, report.quarantined, report.not_shown) == (2, (), {"image": 1})
    assert report.remarks == ["the model is asked without these columns of images, videos or sound: image (1 rows)"]


@pytest.mark.parametrize("names", [{"prompt": "question", "answer": "answer"}, {"id": "uid"}])
@pytest.mark.parametrize("question", ["<image>\nHow many?", [{"role": "user", "content": "How many in <image>?"}]])
def test_a_question_that_refers_to_an_image_column_refuses_the_row(
    tmp_path: Path, names: dict[str, str], question: Any
) -> None:
    row = IMAGE | {"question": question}
    with pytest.raises(UserError, match=r"row 2: .*shows an image.*<image>, and the column image holds it.*text alone"):
        read([IMAGE, row], tmp_path, OwnColumns(names))
    no_image = {name: value for name, value in row.items() if name != "image"}
    report = read([IMAGE, no_image], tmp_path, OwnColumns(names))
    assert (report.num_rows, len(report.quarantined)) == (1, 1), "nothing can be asked: it is set aside"


def test_an_image_column_that_is_named_is_refused(tmp_path: Path) -> None:
    names = {"prompt": "question", "answer": "answer", "id": "image"}
    rows = tmp_path / "rows.parquet"
    pq.write_table(pa.Table.from_pylist([IMAGE | {"image": {"bytes": b"png", "path": ""}}]), rows)
    with pytest.raises(UserError, match="holds an image"):
        spool_prompts(str(rows), tmp_path / "spool.arrow", key="data.train", columns=OwnColumns(names))


def test_prompts_with_an_environment_know_their_file_and_what_they_are_without() -> None:
    text, left = carried({"a": 1, "long": "x" * MAX_CARRIED}, file="/data/a.jsonl")
    assert json.loads(text) == {"a": 1, FILE: "/data/a.jsonl", NOT_CARRIED: ["long"]}
    assert left == ["long"]
    assert json.loads(carried({}, file="a")[0]) == {FILE: "a"}


def test_what_is_carried_comes_back_as_it_was() -> None:
    row = {'é"': [1, None, {"a": 1.5}], "n": True}
    text, left = carried({**row, "digits": {"a": 10**5000}})
    assert (json.loads(text), left) == (row, ["digits"])
