"""From a user's copy to items: layouts of publications, what is left out, what is outside."""

from __future__ import annotations

import csv
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from r1ray.checks import Check, Choice, CodeTests, Instructions, Judged, MathAnswer, Pairwise, Reading
from r1ray.data.own_columns import OwnColumns
from r1ray.data.template import Form
from r1ray.errors import UserError
from r1ray.evaluation.benchmarks.columns import fill, value_of
from r1ray.evaluation.benchmarks.definition import load_benchmark
from r1ray.evaluation.benchmarks.reader import MINIATURE, read_benchmark
from r1ray.reward.check_problems import reference_problem

Rows = Sequence[dict[str, Any]]
DATE = {"day": "", "month": "", "year": ""}
GOLD = {"number": "", "spans": ["Lee", "Park"], "date": DATE}
MORE = {"number": ["2", ""], "spans": [[], []], "date": [DATE, {"day": "3", "month": "May", "year": "1911"}]}


def write(path: Path, rows: Rows) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".parquet":
        pq.write_table(pa.Table.from_pylist(list(rows)), path)
    elif path.suffix == ".json":
        path.write_text(json.dumps(list(rows)))
    elif path.suffix == ".jsonl":
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    else:
        with path.open("w", newline="") as sink:
            writer = csv.DictWriter(sink, list(rows[0]), delimiter="\t" if path.suffix == ".tsv" else ",")
            writer.writeheader()
            writer.writerows(rows)
    return str(path)


AIME = [{"id": 60, "problem": "1+1?", "answer": "2"}, {"id": 61, "problem": "2+2?", "answer": "4"}]


@pytest.mark.parametrize("name", ["a.parquet", "a.jsonl", "a.json", "a.csv", "a.tsv"])
def test_a_set_is_read_from_any_file_it_is_published_as(tmp_path: Path, name: str) -> None:
    items, report = read_benchmark(load_benchmark("aime_2024"), write(tmp_path / name, AIME))
    assert [(item.id, item.check) for item in items] == [("60", MathAnswer("2")), ("61", MathAnswer("4"))]
    assert (report.num_rows, report.num_items, report.left_out) == (2, 2, ())
    prompt = items[0].prompt(lambda question: f"<user>{question}", Form("none"))
    assert prompt.text.startswith("<user>1+1?\n\nReason") and prompt.domain == "aime_2024"


@pytest.mark.parametrize("layout", ["val/{}_val.csv", "{}/val-00000-of-00001.parquet", "{}.jsonl"])
def test_a_folder_has_a_file_for_each_subject(tmp_path: Path, layout: str) -> None:
    row = {"id": 0, "question": "1+1=?", "A": "2", "B": "3", "C": "4", "D": "5", "answer": "A"}
    for subject in ("logic", "law"):
        write(tmp_path / layout.format(subject), [row])
    items, _ = read_benchmark(load_benchmark("c_eval"), str(tmp_path))
    assert [(item.id, item.groups) for item in items] == [("0", {"subject": "law"}), ("0#2", {"subject": "logic"})]


@pytest.mark.parametrize(
    ("name", "row", "check"),
    [
        ("aime_2024", {"ID": "2024-I-1", "Problem": "1+1?", "Answer": 2}, MathAnswer("2")),
        ("mmlu", {"question": "q", "subject": "s", "choices": ["a", "b", "c", "d"], "answer": 2}, Choice("C", 4)),
        ("mmlu_pro", {"question": "q", "category": "law", "options": list("abcdefg"), "answer": "G"}, Choice("G", 7)),
        (
            "drop",
            {"passage": "p", "question": "q", "answers_spans": {"spans": ["4"], "types": ["number"]}},
            Reading((("4",),)),
        ),
        (
            "drop",
            {"passage": "p", "question": "q", "answer": GOLD, "validated_answers": MORE},
            Reading((("Lee", "Park"), ("2",), ("3 May 1911",))),
        ),
        ("arena_hard", {"uid": "1", "prompt": "q", "category": "c", "baseline": "b"}, Pairwise("q", "b", "five_way")),
        ("simple_qa", {"metadata": "{}", "problem": "q", "answer": "a"}, Judged("a", "q", "attempted")),
    ],
)
def test_other_publications_of_a_set_are_understood(tmp_path: Path, name: str, row: Any, check: Check) -> None:
    items, _ = read_benchmark(load_benchmark(name), write(tmp_path / "a.jsonl", [row]))
    assert items[0].check == check


def test_arguments_that_parquet_fills_up_with_none_are_not_given(tmp_path: Path) -> None:
    kwargs = [{"num_words": 3, "relation": "at least"}, {}]
    ids = ["length_constraints:number_words", "punctuation:no_comma"]
    row = {"key": 1, "prompt": "p", "instruction_id_list": ids, "kwargs": kwargs}
    path = write(tmp_path / "a.parquet", [row])
    (item,), _ = read_benchmark(load_benchmark("if_eval"), path, problem=reference_problem)
    assert isinstance(item.check, Instructions)
    assert [json.loads(rule.arguments) for rule in item.check.rules] == kwargs


BROKEN: list[tuple[str, dict[str, Any], str]] = [
    ("aime_2024", {"answer": ""}, "the reference answer is empty"),
    ("math_500", {"answer": "\\frac{1"}, ""),
    ("gpqa_diamond", {"Correct Answer": ""}, "the reference answer is empty"),
    ("gpqa_diamond", {"Incorrect Answer 2": ""}, "an option is missing"),
    ("mmlu", {"answer": 7}, "is none of the 4 options"),
    ("cmmlu", {"Answer": ""}, "is none of the 4 options"),
    ("drop", {"answers_spans": {"spans": [], "types": []}}, "there are no gold answers"),
    ("if_eval", {"instruction_id_list": ["a:b", "punctuation:no_comma"]}, "there is no instruction 'a:b'"),
    ("if_eval", {"kwargs": [{}]}, "there are 2 instructions and 1 sets of arguments"),
    ("simple_qa", {"answer": " "}, "the reference answer is empty"),
    ("alpaca_eval_2", {"output": ""}, "there is no answer of the baseline"),
    ("live_code_bench", {"public_test_cases": "[]", "private_test_cases": "[]"}, "there are no tests"),
    ("human_eval_mul", {"tests": ""}, "there are no tests"),
    ("human_eval_mul", {"prompt": "import org.javatuples.*;"}, "the Java library javatuples"),
    ("human_eval_mul", {"language": "cobol"}, "check.language is 'cobol'"),
    ("codeforces", {"official_tests": [], "examples": []}, "there are no tests"),
    ("codeforces", {"official_tests_complete": False}, "official_tests_complete is False"),
    ("codeforces", {"interaction_format": "Ask."}, "interaction_format is Ask."),
]


@pytest.mark.parametrize(("name", "changes", "reason"), BROKEN)
def test_a_row_without_a_usable_reference_is_listed_and_left_out(
    tmp_path: Path, name: str, changes: dict[str, Any], reason: str
) -> None:
    from r1ray.evaluation.benchmarks.files import rows_of

    benchmark = load_benchmark(name)
    row = {key: value for key, value in next(rows_of(benchmark.miniature)).items() if not key.startswith("_")}
    path = write(tmp_path / "a.jsonl", [row, {**row, **changes}])
    items, report = read_benchmark(benchmark, path, problem=reference_problem)
    assert (len(items), report.num_rows, len(report.left_out)) == (1, 2, 1)
    assert reason in report.left_out[0]


OWN = '{"prompt": "1+1?", "check": {"type": "math", "answer": "2"}}\n'


@pytest.mark.parametrize(
    ("name", "good", "bad"),
    [
        ("prompts", OWN, '{"prompt": "half a li\n'),
        ("prompts", OWN, '{"prompt": "q", "check": {"type": "math", "answer": [1]}}\n'),
        ("prompts", OWN, '{"prompt": "no check"}\n'),
        ("prompts", OWN, '{"prompt": 3, "check": {"type": "format"}}\n'),
        ("aime_2024", '{"id": 60, "problem": "1+1?", "answer": "2"}\n', '{"id": 61, "prob\n'),
        ("aime_2024", '{"id": 60, "problem": "1+1?", "answer": "2"}\n', "[1]\n"),
    ],
)
def test_bad_rows_are_refused_by_file_and_row_or_skipped_and_counted(
    tmp_path: Path, name: str, good: str, bad: str, caplog: pytest.LogCaptureFixture
) -> None:
    benchmark = load_benchmark(name)
    (tmp_path / "a.jsonl").write_text(good + bad)
    (tmp_path / "b.jsonl").write_text(good)
    with pytest.raises(UserError, match=r"^data=.*: 1 malformed rows of 3: a.jsonl:2: .* on_bad_row=skip\.$"):
        read_benchmark(benchmark, str(tmp_path))
    items, report = read_benchmark(benchmark, str(tmp_path), on_bad_row="skip")
    assert [item.place for item in items] == ["a.jsonl:1", "b.jsonl:1"]
    assert (report.num_rows, report.left_out, report.remarks) == (2, (), ("1 malformed rows are left out",))
    assert "1 malformed rows of 3 are left out: a.jsonl:2: " in caplog.text
    with pytest.raises(UserError, match=r"none is left to use: a.jsonl:1"):
        (tmp_path / "a.jsonl").write_text("{\n")
        read_benchmark(benchmark, f"{tmp_path}/a.jsonl", on_bad_row="skip")


def test_bad_rows_of_a_baseline_are_refused_or_skipped(tmp_path: Path) -> None:
    benchmark = load_benchmark("aime_2024")
    data = write(tmp_path / "a.jsonl", AIME)
    (tmp_path / "baseline.jsonl").write_text('{"id": 60}\n{\n')
    with pytest.raises(UserError, match=r"baseline=.*: 1 malformed rows of 2: baseline.jsonl:2: not JSON"):
        read_benchmark(benchmark, data, baseline=f"{tmp_path}/baseline.jsonl")
    items, _ = read_benchmark(benchmark, data, baseline=f"{tmp_path}/baseline.jsonl", on_bad_row="skip")
    assert len(items) == 2


def test_a_set_without_a_usable_row_is_refused(tmp_path: Path) -> None:
    row = {"id": 0, "question": "q", "A": "1", "B": "2", "C": "3", "D": "4", "answer": ""}
    with pytest.raises(UserError, match=r"none of its 1 rows can be used: 0 \(the answer '' is none of the 4 options"):
        read_benchmark(load_benchmark("c_eval"), write(tmp_path / "a.jsonl", [row]))


def test_other_columns_are_refused_with_those_found_and_needed(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"found the columns q, text; benchmark=mmlu needs question; choices; answer\."):
        read_benchmark(load_benchmark("mmlu"), write(tmp_path / "a.jsonl", [{"q": 1, "text": 2}]))


@pytest.mark.parametrize("path", ["nothing.jsonl", "empty", "table.xlsx"])
def test_what_is_no_data_is_refused(tmp_path: Path, path: str) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "table.xlsx").write_text("x")
    with pytest.raises(UserError, match=r"data=.*(no such file; needs a Parquet|\.parquet, \.jsonl)"):
        read_benchmark(load_benchmark("mmlu"), str(tmp_path / path))


def test_a_broken_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.parquet").write_text("no Parquet")
    with pytest.raises(UserError, match="cannot be read"):
        read_benchmark(load_benchmark("mmlu"), str(tmp_path / "a.parquet"))


@pytest.mark.parametrize(
    ("window", "ids"),
    [
        (None, ["mini_a", "mini_b"]),
        (("2024-09-14", "2024-09-14"), ["mini_a"]),
        (("2023-01-01", "2024-10-01"), ["mini_a", "mini_c"]),
    ],
)
def test_a_window_of_dates_counts_its_ends(window: tuple[str, str] | None, ids: list[str]) -> None:
    items, report = read_benchmark(load_benchmark("live_code_bench"), MINIATURE, window=window)
    assert [item.id for item in items] == ids
    assert report.num_outside == 3 - len(ids) and report.num_rows == len(ids)


def test_dates_in_seconds_are_dates() -> None:
    codeforces = load_benchmark("codeforces")
    assert read_benchmark(codeforces, MINIATURE, window=("2024-09-14", "2024-09-14"))[1].num_outside == 0
    with pytest.raises(UserError, match="3 are outside"):
        read_benchmark(codeforces, MINIATURE, window=("2025-01-01", "2025-02-01"))


@pytest.mark.parametrize(
    ("name", "window", "message"),
    [
        ("live_code_bench", ("2024", "2025-01-01"), "needs two dates"),
        ("live_code_bench", ("2025-01-01", "2024-01-01"), "the first date is after the last"),
        ("mmlu", ("2024-01-01", "2025-01-01"), "has no field date"),
    ],
)
def test_a_window_that_cannot_be_is_refused(name: str, window: tuple[str, str], message: str) -> None:
    with pytest.raises(UserError, match=message):
        read_benchmark(load_benchmark(name), MINIATURE, window=window)


def test_languages_can_be_chosen() -> None:
    items, report = read_benchmark(load_benchmark("human_eval_mul"), MINIATURE, languages=["cpp", "bash"])
    assert report.programs == {"cpp", "bash"}
    assert (len(items), report.num_outside, items[0].groups) == (2, 6, {"program_language": "cpp"})


def test_a_limit_draws_by_the_seed_and_keeps_the_order() -> None:
    draws = [
        [item.id for item in read_benchmark(load_benchmark("human_eval_mul"), MINIATURE, limit=3, seed=seed)[0]]
        for seed in range(4)
    ]
    everything = [item.id for item in read_benchmark(load_benchmark("human_eval_mul"), MINIATURE)[0]]
    assert all(len(draw) == 3 and draw == [name for name in everything if name in draw] for draw in draws)
    assert len({tuple(draw) for draw in draws}) > 1


def test_a_harness_of_its_own_needs_a_command() -> None:
    with pytest.raises(UserError, match=r"benchmark=aider is judged by a command of yours: needs command=\["):
        read_benchmark(load_benchmark("aider"), MINIATURE)


def test_answers_of_the_baseline_are_joined_by_id(tmp_path: Path) -> None:
    questions = [{"question_id": str(i), "turns": [{"content": f"q{i}"}], "cluster": "c"} for i in range(3)]
    answers = [{"question_id": str(i), "choices": [{"turns": [{"content": f"b{i}"}]}]} for i in (1, 0)]
    path = write(tmp_path / "question.jsonl", questions)
    with pytest.raises(UserError, match="benchmark=arena_hard needs baseline"):
        read_benchmark(load_benchmark("arena_hard"), path)
    items, report = read_benchmark(
        load_benchmark("arena_hard"), path, baseline=write(tmp_path / "baseline.jsonl", answers)
    )
    assert [item.check for item in items] == [Pairwise(f"q{i}", f"b{i}", "five_way") for i in range(2)]
    assert report.left_out == ("2 (there is no answer of the baseline to compare with)",) and report.needs_judge


def test_functional_problems_show_their_code() -> None:
    stdio, func = read_benchmark(load_benchmark("live_code_bench"), MINIATURE)[0]
    assert "standard input" in str(stdio.question) and "class Solution" not in str(stdio.question)
    assert "class Solution" in str(func.question) and "standard input" not in str(func.question)
    assert isinstance(func.check, CodeTests) and func.check.entry == "largest"


def test_a_prompt_names_only_what_there_is() -> None:
    with pytest.raises(UserError, match=r"prompt: \{answr\} is not one of its fields; they are answer"):
        fill("{answr}", {"answer": "1"})
    assert fill(r"{question} \boxed{}", {"question": "{answer}"}) == r"{answer} \boxed{}"


def test_a_column_is_the_first_of_its_names_that_is_there() -> None:
    row = {"a.b": 1, "x": {"y": [{"z": 2}]}, "none": None}
    assert [value_of(row, name) for name in ("a.b", "q | x.y.0.z", "x.y.1.z", "none | a.b")] == [1, 2, None, None]


def test_prompts_of_the_users_own_are_read_by_the_users_names_and_carry_their_columns(tmp_path: Path) -> None:
    row = {"q": "1+1?", "label": 2, "level": 3}
    path = write(tmp_path / "own.jsonl", [row])
    own = OwnColumns({"prompt": "q", "answer": "label"})
    (item,), _ = read_benchmark(load_benchmark("prompts"), path, columns=own)
    prompt = item.prompt(str, Form("none"))
    assert (prompt.text, prompt.check, prompt.columns) == ("1+1?", MathAnswer("2"), row)
    with pytest.raises(UserError, match="benchmark=aime_2024 defines its own columns"):
        read_benchmark(load_benchmark("aime_2024"), write(tmp_path / "a.jsonl", AIME), columns=own)


def test_questions_of_benchmarks_carry_their_columns_too(tmp_path: Path) -> None:
    items, _ = read_benchmark(load_benchmark("aime_2024"), write(tmp_path / "a.jsonl", AIME))
    assert items[0].prompt(str, Form("none")).columns == AIME[0]
