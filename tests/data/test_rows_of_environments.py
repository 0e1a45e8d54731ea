"""Rows that name an environment, from files to prompts."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from r1ray.checks import FormatOnly, MathAnswer
from r1ray.data.layouts import RawPrompt
from r1ray.data.own_columns import OwnColumns
from r1ray.data.position import Position
from r1ray.data.prompt_rows import SpoolReport, spool_prompts
from r1ray.data.prompts import PromptCursor, PromptTable
from r1ray.data.template import Form
from r1ray.errors import UserError
from r1ray.turns import Message
from tests.data.prompt_files import OWN, VERL, jsonl


def read(folder: Path, *rows: dict[str, Any], form: Form | None = None, **keys: Any) -> tuple[SpoolReport, PromptTable]:
    spool = folder / "s.arrow"
    report = spool_prompts(jsonl(folder / "f.jsonl", rows), spool, key="data.train", **keys)
    return report, PromptTable(spool, str, form or Form("none"))


def test_a_row_names_its_environment_and_its_question_is_a_conversation(tmp_path: Path) -> None:
    form = Form("chat", system_prompt="Be kind.", suffix="Think.")
    report, table = read(tmp_path, {**OWN, "environment": "maze"}, OWN, form=form)
    assert dict(report.environments) == {"maze": 1}
    first, second = table[0], table[1]
    assert (first.environment, first.check) == ("maze", MathAnswer("2"))
    question = f"{OWN['prompt']}\nThink."
    assert first.messages == (Message("system", "Be kind."), Message("user", question))
    assert (second.environment, second.messages) == ("", ())
    assert report.remarks == ["trajectories are in the environments maze (1 prompts)"]


def test_an_environment_of_all_rows_is_that_of_those_that_name_none(tmp_path: Path) -> None:
    rows = [OWN, {**OWN, "environment": "maze"}, {**OWN, "environment": "none"}, {**OWN, "environment": ""}]
    _, table = read(tmp_path, *rows, columns=OwnColumns(environment="guess"))
    assert [table[row].environment for row in range(4)] == ["guess", "maze", "", "guess"]


def test_a_row_that_its_environment_judges_needs_no_reference(tmp_path: Path) -> None:
    own = {**OWN, "check": None, "environment": "maze", "goal": 7}
    _, table = read(tmp_path, own)
    assert table[0].check == FormatOnly() and table[0].columns["goal"] == 7
    _, table = read(tmp_path, {"question": "q", "answer": None}, columns=OwnColumns(environment="maze"))
    assert table[0].check == FormatOnly()


def test_a_reference_that_is_broken_is_refused_all_the_same(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="row 1: check needs an object"):
        read(tmp_path, {**OWN, "check": "2", "environment": "maze"})


@pytest.mark.parametrize(("value", "found"), [(["maze"], "a list of 1"), (True, "true")])
def test_an_environment_that_is_no_name_is_refused(tmp_path: Path, value: Any, found: str) -> None:
    with pytest.raises(UserError, match=f"row 1: environment needs the name of an environment, found {found}"):
        read(tmp_path, {**OWN, "environment": value})


@pytest.mark.parametrize("column", ["prompt", "question", "problem", "query"])
def test_a_file_of_questions_alone_is_enough_for_an_environment(tmp_path: Path, column: str) -> None:
    row = {column: "Which way?", "goals": [1, 2], "tools": []}
    _, table = read(tmp_path, row, columns=OwnColumns(environment="maze"))
    prompt = table[0]
    assert (prompt.domain, prompt.environment, prompt.check) == ("math", "maze", FormatOnly())
    assert prompt.messages == (Message("user", "Which way?"),) and prompt.columns["goals"] == [1, 2]
    _, table = read(tmp_path, {**row, "environment": "maze"})
    assert (table[0].domain, table[0].environment) == ("maze", "maze")


def test_without_an_environment_such_a_row_is_malformed(tmp_path: Path) -> None:
    rows: list[dict[str, Any]] = [{"prompt": "a", "environment": "maze"}, {"prompt": "b", "environment": None}]
    with pytest.raises(UserError, match="row 2: it has no environment, and no reference"):
        read(tmp_path, *rows)
    with pytest.raises(UserError, match="found the columns prompt"):
        read(tmp_path, {"prompt": "a"})


def test_chat_messages_begin_the_conversation(tmp_path: Path) -> None:
    turns = [{"role": "system", "content": "s"}, {"role": "user", "content": "u"}]
    _, table = read(tmp_path, {"messages": turns, "environment": "maze"}, form=Form("chat", system_prompt="Be kind."))
    assert table[0].messages == (Message("system", "s"), Message("user", "u"))


def test_a_column_of_another_name_holds_the_environment(tmp_path: Path) -> None:
    columns = OwnColumns({"prompt": "q", "answer": "label", "environment": "world"})
    rows: list[dict[str, Any]] = [{"q": "a", "label": "1", "world": "maze"}, {"q": "b", "label": None, "world": "maze"}]
    _, table = read(tmp_path, *rows, columns=columns)
    assert [(table[i].environment, table[i].check) for i in (0, 1)] == [
        ("maze", MathAnswer("1")),
        ("maze", FormatOnly()),
    ]
    renamed = OwnColumns({"environment": "world"})
    _, table = read(tmp_path, {**VERL, "world": "maze"}, columns=renamed)
    assert table[0].environment == "maze"


def test_an_object_of_that_name_is_no_environment(tmp_path: Path) -> None:
    _, table = read(tmp_path, {**OWN, "environment": {"image": "x"}})
    assert table[0].environment == ""


def test_an_unknown_environment_is_refused_with_file_and_row(tmp_path: Path) -> None:
    def problem(raw: RawPrompt) -> str | None:
        if raw.environment != "maze":
            raise UserError(f"environment {raw.environment}: no such environment")
        return None

    with pytest.raises(UserError, match=r"data.train=.*f.jsonl: row 2: environment mase: no such environment"):
        read(tmp_path, {**OWN, "environment": "maze"}, {**OWN, "environment": "mase"}, world_problem=problem)


def test_what_its_environment_can_do_nothing_with_is_left_out_and_named(tmp_path: Path) -> None:
    def problem(raw: RawPrompt) -> str | None:
        return None if '"goal"' in raw.columns else "it has no goal"

    rows: list[dict[str, Any]] = [{**OWN, "environment": "maze", "goal": 1}, {**OWN, "id": "b", "environment": "maze"}]
    report, _ = read(tmp_path, *rows, world_problem=problem)
    assert (report.num_rows, report.quarantined) == (1, ("b (it has no goal)",))


def test_environments_have_shares_also_beside_prompts_without_one(tmp_path: Path) -> None:
    rows = [{**OWN, "id": str(i), "environment": ["maze", "guess", ""][i % 3]} for i in range(30)]
    _, table = read(tmp_path, *rows)
    shares = {"maze": 3.0, "none": 1.0}
    cursor = PromptCursor(table, seed=0, position=Position(), mixture=shares, mixed_by="environment")
    taken = [cursor.take()[1] for _ in range(40)]
    assert Counter(each.environment for each in taken) == {"maze": 30, "": 10}
    assert len({each.id for each in taken[:12] if each.environment}) == 9


def test_a_share_of_an_environment_that_no_row_has_is_refused(tmp_path: Path) -> None:
    _, table = read(tmp_path, {**OWN, "environment": "maze"}, OWN)
    with pytest.raises(
        UserError, match=r"environment.shares.mase: no row of data.train has this environment; .* maze, none"
    ):
        PromptCursor(table, seed=0, position=Position(), mixture={"mase": 1}, mixed_by="environment")
