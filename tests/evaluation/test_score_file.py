"""``r1ray score``: rows in, outcomes out."""

from __future__ import annotations

import json
import resource
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from r1ray.main import main
from r1ray.types import Prompt, Response

MATH = {"type": "math", "answer": "29"}
CODE = {"type": "code", "language": "python", "kind": "stdio", "tests": [{"stdin": "1 2", "stdout": "3"}]}
ROWS: list[dict[str, Any]] = [
    {"id": "right", "check": MATH, "response": r"<think>25+4</think> \boxed{29.0}"},
    {"id": "wrong", "check": MATH, "response": r"\boxed{30}"},
    {"id": "none", "check": MATH, "response": "no idea"},
    {"id": "broken", "check": {"type": "math", "answer": ""}, "response": r"\boxed{1}"},
    {"id": "form", "check": {"type": "format"}, "response": r"<think>why</think> <answer>\boxed{1}</answer>"},
    {"id": "code", "check": CODE, "response": "```python\nprint(sum(map(int, input().split())))\n```"},
    {"id": "bad code", "check": CODE, "response": "```python\nprint(4)\n```", "prompt": "Add.", "language": "en"},
]
KEYS = ["id", "outcome", "score", "parts", "extracted", "seconds", "detail"]


def written(path: Path, rows: list[Any]) -> Path:
    path.write_text("".join((row if isinstance(row, str) else json.dumps(row)) + "\n" for row in rows))
    return path


def scored(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[list[dict[str, Any]], str]:
    assert main(["score", *arguments]) == 0
    printed = capsys.readouterr()
    return [json.loads(line) for line in printed.out.splitlines()], printed.err


@pytest.mark.needs("isolation")
def test_each_row_has_an_outcome_in_the_order_of_the_file(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    outcomes, said = scored(capsys, str(written(tmp_path / "rows.jsonl", ROWS)))
    assert [list(outcome) for outcome in outcomes] == [KEYS] * len(ROWS)
    assert [(o["id"], o["outcome"], o["score"]) for o in outcomes] == [
        ("right", "scored", 1.0),
        ("wrong", "scored", 0.0),
        ("none", "scored", 0.0),
        ("broken", "unscorable", None),
        ("form", "scored", 1.0),
        ("code", "scored", 1.0),
        ("bad code", "scored", 0.0),
    ]
    assert [o["extracted"] for o in outcomes[:3]] == ["29.0", "30", None]
    assert [o["detail"].split(":")[0] for o in outcomes[:3]] == ["correct", "wrong", "no_answer"]
    assert "6 scored, 1 unscorable; mean score 0.5000" in said


def test_plain_answers_are_scored_by_their_last_number(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    said = ["25 + 4 = 29.", "25 + 4 = 29 is incorrect.", "It is 28."]
    rows = [{"id": index, "check": MATH, "response": text} for index, text in enumerate(said)]
    outcomes, _ = scored(capsys, str(written(tmp_path / "rows.jsonl", rows)), "reward=last_number")
    assert [(o["score"], o["parts"], o["extracted"]) for o in outcomes] == [
        (1.0, {"last_number": 1.0}, "29"),
        (0.0, {"last_number": 0.0}, None),
        (0.0, {"last_number": 0.0}, "28"),
    ]


def test_a_malformed_row_is_reported_by_line_and_the_rest_is_scored(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    rows = ["{", ROWS[0], "[1]", {"id": 4, "check": MATH}, {"id": 5, "check": {"type": "x"}, "response": ""}]
    outcomes, said = scored(capsys, str(written(tmp_path / "rows.jsonl", rows)))
    assert [o["outcome"] for o in outcomes] == ["malformed", "scored", "malformed", "malformed", "malformed"]
    for line in ("line 1: not JSON", "line 3: needs a JSON object", "line 4: response needs", "line 5: check.type"):
        assert line in said


def test_rows_that_are_hard_to_write_are_written(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    lines = [
        '{"id": "\\ud800", "check": {"type": "math", "answer": "1"}, "response": "\\\\boxed{\\ud800}"}',
        json.dumps({"id": 1, "check": "[" * 100_000, "response": ""}),
        json.dumps(ROWS[0]),
    ]
    outcomes, _ = scored(capsys, str(written(tmp_path / "a=b.jsonl", lines)))
    assert [o["outcome"] for o in outcomes] == ["scored", "malformed", "scored"]
    pq.write_table(pa.table({"id": [b"\xff"], "check": [json.dumps(MATH)], "response": ["x"]}), tmp_path / "b.parquet")
    outcomes, _ = scored(capsys, str(tmp_path / "b.parquet"))
    assert outcomes[0]["outcome"] == "scored"


def test_a_missing_toolchain_ends_the_file_with_the_package(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("r1ray.sandbox.languages.PATH", "/nonexistent")
    row = {"id": 1, "check": {**CODE, "language": "java"}, "response": "class A {}"}
    assert main(["score", str(written(tmp_path / "rows.jsonl", [row]))]) == 2
    assert "needs the Debian package default-jdk-headless" in capsys.readouterr().err


def test_parquet_goes_in_and_a_file_comes_out(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    rows = [{**row, "check": json.dumps(row["check"])} for row in ROWS[:3]]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "rows.parquet")
    outcomes, _ = scored(capsys, str(tmp_path / "rows.parquet"), f"output={tmp_path / 'out.jsonl'}")
    assert outcomes == []
    assert [json.loads(line)["score"] for line in (tmp_path / "out.jsonl").read_text().splitlines()] == [1.0, 0.0, 0.0]


def test_another_reward_is_an_override_away(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    path = str(written(tmp_path / "rows.jsonl", [{**ROWS[0], "response": "<think>a</think><answer>29</answer>"}]))
    outcomes, _ = scored(capsys, path, "reward=r1_zero", "reward.parts.format.weight=0.5")
    assert outcomes[0]["score"] == 1.5
    assert outcomes[0]["parts"] == {"accuracy": 1.0, "format": 1.0}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "score needs one FILE"),
        (["a", "b"], "found 2 files: a, b"),
        (["/nowhere.jsonl"], "/nowhere.jsonl: no such file"),
        (["{empty}"], "it is empty"),
        (["{malformed}"], "no row that can be scored; line 1: not JSON"),
        (["{good}", "reward=nice"], "reward=nice: needs one of all_scenario, check, last_number, r1_zero, reasoning"),
        (["{good}", "reward.parts.acuracy.weight=1"], "reward.parts.acuracy"),
        (["{good}", "output=/nowhere/x"], "output=/nowhere/x: cannot be written"),
        (["{good}", "sandbox.mode=none"], "needs sandbox.unsafe=true"),
    ],
)
def test_a_mistake_is_a_sentence_and_exit_code_2(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, arguments: list[str], message: str
) -> None:
    files = {
        "{empty}": str(written(tmp_path / "empty.jsonl", [])),
        "{malformed}": str(written(tmp_path / "malformed.jsonl", ["{"])),
        "{good}": str(written(tmp_path / "good.jsonl", ROWS[:1])),
    }
    assert main(["score", *(files.get(argument, argument) for argument in arguments)]) == 2
    assert message in capsys.readouterr().err


OWN_SCORES = """
def picky(prompt, response):
    if response.text == "odd":
        return None
    if response.text == "exit":
        raise SystemExit(4)
    return {"good": 1.0}[response.text]
"""


@pytest.mark.parametrize(
    ("on_error", "outcomes"),
    [("auto", ["scored"] * 5), ("zero", ["scored"] * 5), ("mask", ["scored", *["reward_error"] * 4])],
)
def test_what_a_function_of_the_users_did_wrong_is_shown(
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    on_error: str,
    outcomes: list[str],
) -> None:
    (tmp_path / "own_file_scores.py").write_text(OWN_SCORES)
    monkeypatch.syspath_prepend(tmp_path)
    rows = [{"id": text, "check": MATH, "response": text} for text in ("good", "bad", "worse", "odd", "exit")]
    part = f'+reward.parts.mine={{weight: 1.0, function: "own_file_scores:picky", on_error: {on_error}}}'
    found, said = scored(capsys, str(written(tmp_path / "rows.jsonl", rows)), part)
    assert [row["outcome"] for row in found] == outcomes
    details = [row["detail"] for row in found]
    assert "KeyError: 'bad' (own_file_scores.py:7)" in details[1] and "KeyError: 'worse'" in details[2]
    assert "returned None" in details[3] and "SystemExit: 4" in details[4]
    assert "mine" not in details[0]
    assert said.count("This kind is shown once") == 3, "once a kind"
    assert "Traceback" in said and "The response was:" in said and "worse" not in said


def test_a_function_that_fails_ends_the_file_if_it_is_to(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "own_stop_scores.py").write_text("def none(prompt, response): ...")
    monkeypatch.syspath_prepend(tmp_path)
    part = '+reward.parts.mine={weight: 1.0, function: "own_stop_scores:none", on_error: stop}'
    assert main(["score", str(written(tmp_path / "rows.jsonl", ROWS[:1])), part]) == 2
    assert "reward part mine: returned None" in capsys.readouterr().err


EXITING = """
import os
def leaving(prompt, response):
    if response.text == "leave":
        os._exit(7)
    return 1.0
"""


@pytest.mark.faults
@pytest.mark.parametrize(("on_error", "code"), [("auto", 0), ("zero", 0), ("mask", 0), ("stop", 2)])
def test_a_function_that_ends_its_process_loses_its_row_alone(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, on_error: str, code: int
) -> None:
    (tmp_path / "own_exit_scores.py").write_text(EXITING)
    monkeypatch.syspath_prepend(tmp_path)
    texts = ["a", "leave", "b", "leave", "c"]
    rows = [{"id": number, "check": MATH, "response": text} for number, text in enumerate(texts)]
    part = f'+reward.parts.mine={{weight: 1.0, function: "own_exit_scores:leaving", on_error: {on_error}}}'
    assert main(["score", str(written(tmp_path / "rows.jsonl", rows)), part]) == code
    printed = capsys.readouterr()
    assert "reward part mine: scoring it ended its process" in printed.err and "exit code 7" in printed.err
    if code == 0:
        found = [json.loads(line) for line in printed.out.splitlines()]
        assert [row["id"] for row in found] == list(range(5))
        assert [row["outcome"] for row in found] == ["scored", "reward_error", "scored", "reward_error", "scored"]
        assert "3 scored, 2 reward_error" in printed.err


def test_many_rows_take_bounded_memory(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    def write(number: int) -> str:
        path = tmp_path / f"{number}.jsonl"
        with path.open("w") as file:
            for n in range(number):
                check = {"type": "math", "answer": str(n % 50)}
                response = f"x {'y' * 2000} \\boxed{{{n % 7}}}"
                file.write(json.dumps({"id": n, "check": check, "response": response}) + "\n")
        return str(path)

    few, many = write(2_000), write(20_000)
    assert main(["score", few, f"output={tmp_path / 'few-out.jsonl'}"]) == 0
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert main(["score", many, f"output={tmp_path / 'many-out.jsonl'}"]) == 0
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss < before + 25_000  # the rows alone have 40 MB
    assert "20000 scored" in capsys.readouterr().err


def test_checks_of_the_users_own_see_the_columns_of_their_row(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    own = {"type": f"{__name__}:is_of_level", "level": 3}
    rows = [{"id": level, "check": own, "response": "x", "level": level} for level in (3, 4)]
    found, _ = scored(capsys, str(written(tmp_path / "rows.jsonl", rows)))
    assert [row["score"] for row in found] == [1.0, 0.0]


def test_a_check_of_the_users_own_that_is_missing_is_refused(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    rows = [{"id": "7", "check": {"type": "no_such_module:f"}, "response": "x"}]
    assert main(["score", str(written(tmp_path / "rows.jsonl", rows))]) == 2
    assert "check.type=no_such_module:f: needs package.module:function" in capsys.readouterr().err


def is_of_level(check: dict[str, Any], response: Response, prompt: Prompt) -> float:
    return float(prompt.columns["level"] == check["level"])


def test_the_language_is_that_of_the_question_where_no_column_says_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    response = (
        "<think>\u6211\u4eec\u628a\u4e09\u548c\u56db\u76f8\u52a0\u5f97\u5230\u4e03\u3002</think><answer>7</answer>"
    )
    question = "\u6c42\u4e09\u4e0e\u56db\u7684\u548c\u3002"
    chat = f"<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n<|im_start|>user\n{question}<|im_end|>\n"
    prompts: list[Any] = [question, chat, [{"role": "user", "content": question}], "Add three and four, please."]
    check = {"type": "math", "answer": "7"}
    rows = [{"id": i, "prompt": prompt, "check": check, "response": response} for i, prompt in enumerate(prompts)]
    outcomes, _ = scored(capsys, str(written(tmp_path / "f.jsonl", rows)), "reward=reasoning")
    assert [outcome["parts"]["language"] for outcome in outcomes] == [1.0, 1.0, 1.0, 0.0]
