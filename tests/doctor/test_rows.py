"""The first rows of a data set, through layout, template and check."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from r1ray.commands.compose import compose
from r1ray.data.pair_layouts import PAIRS
from r1ray.data.sft_layouts import EXAMPLES
from r1ray.doctor.findings import Finding, worst
from r1ray.doctor.rows import RowsCheck, check_dialogues, check_prompts
from r1ray.runtime.model_files import load_tokenizer

SUM = {"question": "What is 2+3?", "answer": "5"}
CODE = {
    "prompt": "Print 1.",
    "check": {"type": "code", "language": "cpp", "kind": "stdio", "tests": [{"stdin": "", "stdout": "1"}]},
}


def written(folder: Path, *rows: dict[str, Any]) -> str:
    path = folder / "rows.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(path)


@pytest.fixture(scope="module")
def tokenizer(llama_folder: Path) -> Any:
    return load_tokenizer(str(llama_folder), template="none")


def prompts(path: str, tokenizer: Any, *overrides: str) -> RowsCheck:
    config = compose(["model=m", f"data.train={path}", "data.template=none", *overrides])
    return check_prompts(config, "data.train", path, tokenizer)


def by_check(checked: RowsCheck) -> dict[str, Finding]:
    return {finding.check: finding for finding in checked.findings}


def test_good_rows_are_counted_one_is_shown_and_known_answers_score_one(tmp_path: Path, tokenizer: Any) -> None:
    rows = [SUM, {"question": "Half of one?", "answer": "\\frac{1}{2}"}]
    found = by_check(prompts(written(tmp_path, *rows), tokenizer))
    assert worst(found.values()) == "green"
    assert "of the first 2 rows 2 usable" in found["rows"].found
    assert "'What is 2+3?'" in found["prompt"].found
    assert "What is 2+3?\n  reference: math, answer 5" in found["example"].found
    assert "is paid 2 (accuracy 1, format 1)" in found["example"].found
    assert found["answer"].found == "2 of 2 right, the first is '5'"


def test_malformed_rows_are_counted_and_named(tmp_path: Path, tokenizer: Any) -> None:
    path = written(tmp_path, SUM, {"question": 3, "answer": "1"}, {"question": "q", "answer": ""})
    found = by_check(prompts(path, tokenizer))["rows"]
    assert found.status == "red"
    assert "1 usable, 1 malformed, 1 without a usable reference: row 2: " in found.found


def test_rows_that_a_run_skips_are_a_warning(tmp_path: Path, tokenizer: Any) -> None:
    path = written(tmp_path, SUM, {"question": 3, "answer": "1"})
    Path(path).write_text(Path(path).read_text() + "{torn\n")
    assert by_check(prompts(path, tokenizer))["rows"].status == "red"
    found = by_check(prompts(path, tokenizer, "data.on_bad_row=skip"))["rows"]
    assert found.status == "yellow"
    assert "1 usable, 2 malformed: line 3: not JSON" in found.found


@pytest.mark.parametrize(
    ("rows", "said"),
    [([], "the file has no rows"), ([{"text": "q"}], "the columns text")],
)
def test_files_that_no_run_can_read_are_red(
    tmp_path: Path, tokenizer: Any, rows: list[dict[str, Any]], said: str
) -> None:
    (finding,) = prompts(written(tmp_path, *rows), tokenizer).findings
    assert (finding.status, said in finding.found) == ("red", True)


def test_a_file_that_is_not_there_is_red(tmp_path: Path, tokenizer: Any) -> None:
    (finding,) = prompts(str(tmp_path / "no.jsonl"), tokenizer).findings
    assert (finding.status, "no such file" in finding.found) == ("red", True)


def test_prompts_that_are_too_long_are_yellow_and_red_where_all_are(tmp_path: Path, tokenizer: Any) -> None:
    path = written(tmp_path, SUM, SUM | {"question": "What is 2+3? " * 20})
    statuses = [
        by_check(prompts(path, tokenizer, f"data.max_prompt_tokens={limit}"))["prompt"].status
        for limit in (1000, 40, 2)
    ]
    assert statuses == ["green", "yellow", "red"]


def test_characters_that_the_tokenizer_loses_are_seen(tmp_path: Path, qwen_folder: Path) -> None:
    word_level = load_tokenizer(str(qwen_folder), template="none")
    assert by_check(prompts(written(tmp_path, SUM), word_level))["prompt"].status == "yellow"


def test_the_languages_of_programs_are_reported(tmp_path: Path, tokenizer: Any) -> None:
    checked = prompts(written(tmp_path, CODE), tokenizer)
    assert checked.programs == {"cpp"} and "answer" not in by_check(checked)


def test_without_a_tokenizer_rows_are_looked_at_all_the_same(tmp_path: Path) -> None:
    assert [finding.check for finding in prompts(written(tmp_path, SUM), None).findings] == ["rows", "answer"]


def test_dialogues_are_rendered_with_what_is_learned_marked(tmp_path: Path, tokenizer: Any) -> None:
    path = written(tmp_path, {"prompt": "What is 2+3?", "response": "5."}, {"prompt": "What is 2+3?"})
    config = compose(
        ["recipe=sft", "model=m", f"supervised.train={path}", "supervised.max_tokens=512", "data.template=none"]
    )
    found = by_check(check_dialogues(config, "supervised.train", path, tokenizer, layouts=EXAMPLES))
    assert found["rows"].status == "yellow" and "1 usable, 1 with nothing to learn from: row 2" in found["rows"].found
    assert "'What is 2+3?[[5.]]'" in found["prompt"].found
    assert "What is 2+3?[[5." in found["example"].found


def test_of_pairs_both_answers_and_the_margin_are_shown(tmp_path: Path, tokenizer: Any) -> None:
    pair = {"prompt": "What is 2+3?", "chosen": "5.", "rejected": "It is 6.", "margin": 0.5}
    path = written(tmp_path, pair)
    config = compose(["recipe=reward_model", "model=m", f"supervised.train={path}", "data.template=none"])
    found = by_check(check_dialogues(config, "supervised.train", path, tokenizer, layouts=PAIRS))
    for line in ("What is 2+3?\n  chosen: [[5.", "  rejected: [[It is 6.", "  margin: 0.5"):
        assert line in found["example"].found


def test_columns_of_the_users_own_are_looked_at_as_a_run_does(tmp_path: Path, tokenizer: Any) -> None:
    path = written(tmp_path, {"q": "What is 2+3?", "label": 5, "level": 1})
    found = by_check(prompts(path, tokenizer, "data.columns={prompt: q, answer: label}", "data.suffix='Think.'"))
    assert worst(found.values()) == "green"
    assert "What is 2+3?\\nThink." in found["prompt"].found
    (finding,) = prompts(path, tokenizer, "data.columns={prompt: question}").findings
    assert (finding.status, "has no such column" in finding.found) == ("red", True)


def test_a_reward_that_pays_a_wrong_answer_as_well_is_yellow(tmp_path: Path, tokenizer: Any) -> None:
    found = by_check(prompts(written(tmp_path, SUM), tokenizer, "~reward.parts.accuracy"))
    assert found["example"].status == "yellow"


@pytest.mark.parametrize(
    ("path", "status", "found"),
    [
        ("Guess", "green", "maze, of 2 of the first rows of data.train=.*rows.jsonl: begins$"),
        ("Calculator", "green", r"begins, and offers add\(a, b\)$"),
        ("Broken", "red", "maze, of 2 of the first rows.*: environment maze: .*no licence"),
        ("Scripted", "red", "step raised KeyError"),
    ],
)
def test_an_environment_is_made_begins_answers_and_closes(tmp_path: Path, path: str, status: str, found: str) -> None:
    rows = [{"prompt": "Which number?", "number": 7}, {"prompt": "And now?", "number": 8}]
    world = f"+environment.worlds.maze={{path: 'tests.environments.own_worlds:{path}'}}"
    checked = prompts(written(tmp_path, *rows), None, "data.environment=maze", world)
    finding = by_check(checked)["environment"]
    assert finding.status == status and re.search(found, finding.found)


def test_an_environment_is_tried_with_its_shortest_row_as_in_a_run(tmp_path: Path, tokenizer: Any) -> None:
    rows = [{"prompt": "Which?", "number": 7}, {"prompt": "Which number? " * 40, "number": 8}]
    world = "+environment.worlds.maze={path: 'tests.environments.own_worlds:Guess'}"
    keys = ("data.environment=maze", "data.template=none", "data.max_prompt_tokens=64", world)
    finding = by_check(prompts(written(tmp_path, *rows), tokenizer, *keys))["environment"]
    assert finding.status == "green", finding.found


def test_an_environment_without_a_share_is_not_tried(tmp_path: Path) -> None:
    path = written(tmp_path, {**SUM, "environment": "maze"}, {**SUM, "environment": "calculator"})
    world = "+environment.worlds.maze={path: 'tests.environments.own_worlds:Broken'}"
    checked = prompts(path, None, world, "environment.shares={calculator: 1}")
    (finding,) = [each for each in checked.findings if each.check == "environment"]
    assert finding.status == "green" and finding.found.startswith("calculator, ")


def test_an_environment_that_there_is_not_is_red_by_its_row(tmp_path: Path) -> None:
    path = written(tmp_path, SUM, {**SUM, "environment": "mase"})
    found = by_check(prompts(path, None))["rows"]
    assert found.status == "red" and "environment mase: no such environment" in found.found
