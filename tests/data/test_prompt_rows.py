"""Files in, rows out: layouts, quarantine, bad rows."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from r1ray.data.layouts import final_answer
from r1ray.data.own_columns import OwnColumns
from r1ray.data.prompt_rows import spool_prompts
from r1ray.data.prompts import PromptTable
from r1ray.errors import UserError
from tests.data.prompt_files import OPEN_R1, OWN, VERL, jsonl, parquet, table


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


BAD = [OWN, {**OWN, "prompt": 3}, {**OWN, "id": "c"}]


def test_bad_rows_are_skipped_and_named_where_that_is_asked(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = jsonl(tmp_path / "f.jsonl", BAD)
    Path(path).write_text(Path(path).read_text() + "{torn\n")
    with pytest.raises(UserError, match=r"2 malformed rows of 4: row 2: prompt .*; line 4: not JSON.*on_bad_row=skip"):
        spool_prompts(path, tmp_path / "s.arrow", key="data.train")
    report = spool_prompts(path, tmp_path / "s.arrow", key="data.train", on_bad_row="skip")
    assert report.num_rows == 2
    assert f"data.train={path}: 2 malformed rows of 4 are left out: row 2: prompt" in caplog.text


def test_the_first_five_bad_rows_are_named(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    rows = [OWN, *({**OWN, "prompt": number} for number in range(9))]
    spool_prompts(jsonl(tmp_path / "f.jsonl", rows), tmp_path / "s.arrow", key="data.train", on_bad_row="skip")
    assert "9 malformed rows of 10 are left out" in caplog.text
    assert caplog.text.count("; row ") == 4 and "row 7" not in caplog.text


def test_a_file_of_bad_rows_alone_is_refused_in_any_case(tmp_path: Path) -> None:
    path = jsonl(tmp_path / "f.jsonl", [{**OWN, "prompt": 3}])
    with pytest.raises(UserError, match=r"1 malformed rows of 1, and none is left to use: row 1: prompt needs"):
        spool_prompts(path, tmp_path / "s.arrow", key="data.train", on_bad_row="skip")


def refusing_systems() -> Any:
    def render(question: Any) -> str:
        if not isinstance(question, str) and question[0]["role"] == "system":
            raise UserError("the template takes no system message.")
        return str(question)

    return render


def test_a_row_that_the_template_refuses_is_a_bad_row_however_late(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("r1ray.data.prompt_rows.BATCH_ROWS", 50)
    rows = [{**OWN, "id": str(number)} for number in range(400)]
    rows[350]["prompt"] = [{"role": "system", "content": "s"}, {"role": "user", "content": "q"}]
    path, spool = jsonl(tmp_path / "f.jsonl", rows), tmp_path / "s.arrow"
    with pytest.raises(UserError, match=r"f.jsonl: 1 malformed rows of 400: row 351: the template takes no system mes"):
        spool_prompts(path, spool, key="data.train", make_render=refusing_systems)
    spool_prompts(path, spool, key="data.train", make_render=refusing_systems, on_bad_row="skip")
    assert len(PromptTable(spool, render=str)) == 399


def test_several_files_are_one_table_and_messages_name_file_and_row(tmp_path: Path) -> None:
    first = jsonl(tmp_path / "a.jsonl", [{"question": "q", "answer": "1"}, {"question": "q", "answer": "2"}])
    second = parquet(tmp_path / "b.parquet", [VERL | {"extra_info": {"split": "train"}}])
    report = spool_prompts([first, second], tmp_path / "s.arrow", key="data.train")
    assert report.layout.startswith("Hugging Face") and " and verl" in report.layout
    loaded = PromptTable(tmp_path / "s.arrow", render=str)
    assert [loaded[index].id for index in range(3)] == ["0", "1", "2"], "rows without an id get one of all files"
    third = jsonl(tmp_path / "c.jsonl", BAD)
    with pytest.raises(UserError, match=rf"1 malformed rows of 5: {third} row 2: prompt needs a string"):
        spool_prompts([first, third], tmp_path / "s.arrow", key="data.train")
    with pytest.raises(UserError, match=rf"{tmp_path}/d.jsonl row 1: found the columns text"):
        spool_prompts([first, jsonl(tmp_path / "d.jsonl", [{"text": "t"}])], tmp_path / "s.arrow", key="data.train")


def test_a_report_names_domains_with_their_checks(tmp_path: Path) -> None:
    rows = [OWN, {**OWN, "id": "b", "domain": "general", "check": {"type": "format"}}]
    report = spool_prompts(jsonl(tmp_path / "f.jsonl", rows), tmp_path / "s.arrow", key="data.train")
    assert report.kinds == {("sums", "math"), ("general", "format")}


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


def test_rows_without_a_language_get_that_of_their_question(tmp_path: Path) -> None:
    questions = ["What is the sum of two and three?", "求两个数的和。", "Wie groß ist die Summe der Zahlen?"]
    check = {"type": "math", "answer": "5"}
    rows: list[dict[str, Any]] = [{"prompt": question, "check": check} for question in questions]
    messages = [{"role": "system", "content": "Think."}, {"role": "user", "content": "求和。"}]
    rows.append({"prompt": messages, "check": check})
    rows.append({"prompt": questions[1], "check": check, "language": "ja"})
    loaded = table(jsonl(tmp_path / "own.jsonl", rows), tmp_path)
    assert [loaded[i].language for i in range(5)] == ["en", "zh", "de", "zh", "ja"]
    rows = [{"prompt": question, "reward_model": {"ground_truth": "5"}} for question in questions]
    loaded = table(jsonl(tmp_path / "verl.jsonl", rows), tmp_path)
    assert [loaded[i].language for i in range(3)] == ["en", "zh", "de"]


def test_the_language_is_one_of_those_that_are_asked_for(tmp_path: Path) -> None:
    row = {"question": "Wie groß ist die Summe der Zahlen?", "answer": "5"}
    spool = tmp_path / "spool.arrow"
    columns = OwnColumns(languages=["en", "nl"])
    spool_prompts(jsonl(tmp_path / "f.jsonl", [row]), spool, key="data.train", columns=columns)
    assert PromptTable(spool, str)[0].language == "nl"
