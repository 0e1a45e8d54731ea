"""Every benchmark that ships: its miniature loads, and its check tells a right response from a wrong one."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
from _pytest.mark import ParameterSet

from r1ray.config import SandboxConfig, VerifierConfig
from r1ray.data.template import Form
from r1ray.evaluation.benchmarks.definition import benchmark_folder, benchmark_names, load_benchmark
from r1ray.evaluation.benchmarks.metrics import METRICS, own_metrics
from r1ray.evaluation.benchmarks.reader import MINIATURE, BenchmarkReport, Item, read_benchmark
from r1ray.reward.accuracy import Accuracy
from r1ray.reward.check_problems import reference_problem
from r1ray.types import Response, Score

HARNESS = (
    "import json, sys; asked = json.load(sys.stdin); "
    "print(json.dumps({'passed': asked['task'].get('expected', 'return None') in asked['answer']}))"
)
COMMAND = (sys.executable, "-c", HARNESS)
PROGRAMS = {
    "python": "def triple(n):\n    return 3 * n",
    "java": "class Problem {\n    public static long triple(long n) {\n        return 3 * n;\n    }\n}",
    "cpp": "long triple(long n) { return 3 * n; }",
    "csharp": "class Problem {\n    public static long Triple(long n) {\n        return 3 * n;\n    }\n}",
    "javascript": "function triple(n) { return 3 * n; }",
    "typescript": "function triple(n: number): number { return 3 * n; }",
    "php": "<?php\nfunction triple($n) { return 3 * $n; }",
    "bash": "triple() { echo $((3 * $1)); }",
}


def boxed(answer: str) -> str:
    return f"<think>1 + 1</think>It is \\boxed{{{answer}}}."


def letter(answer: str) -> str:
    return f"<think>A or B?</think>That is so.\nAnswer: {answer}"


def fenced(language: str, program: str) -> str:
    return f"<think>easy</think>```{language}\n{program}\n```"


RESPONSES: dict[str, list[tuple[str, str]]] = {
    "aider": [("<think>.</think>return 'Hello, ' + name", "<think>Hello, </think>return name")],
    "aime_2024": [(boxed("15"), boxed("16")), (boxed("105"), boxed("15")), (boxed("58"), boxed("85"))],
    "alpaca_eval_2": [("Golden Crust, <better>", "Crust <worse>")],
    "arena_hard": [("SELECT COUNT(*) FROM orders; <better>", "SELECT 1 <worse>")],
    "c_eval": [("<think>比较</think>答案:A", "<think>答案:A</think>答案:B"), ("故选B", "故选C")],
    "c_simple_qa": [("是铁。", "是铜。")],
    "cmmlu": [("一周有七天,答案是C。", "答案是A"), (letter("D"), letter("C"))],
    "cnmo_2024": [(boxed("210"), boxed("200")), (boxed("0.8"), boxed("0.6"))],
    "codeforces": [
        (fenced("cpp", "#include <iostream>\nint main() { int n; std::cin >> n; std::cout << 2 * n; }"), "2 n"),
        (fenced("cpp", "#include <iostream>\nint main() { int n; std::cin >> n; std::cout << n; }"), "```cpp\nx\n```"),
    ],
    "drop": [(letter("24"), letter("14")), (letter("Park | Lee"), letter("Lee"))],
    "gpqa_diamond": [],  # its options are shuffled: a test of its own
    "frames": [("It was 1874.", "It was 1871.")],
    "human_eval_mul": [],  # PROGRAMS
    "if_eval": [
        ("Rain is water that falls from clouds and makes the whole street wet again", "Rain, it falls."),
        ("<<Colours>>\n* red\n* blue\n* green", "* red\n* blue\n* green"),
    ],
    "live_code_bench": [
        (fenced("python", "print(sum(map(int, input().split())))"), fenced("python", "print(3)")),
        (
            fenced("python", "class Solution:\n    def largest(self, nums):\n        return max(nums)"),
            fenced("python", "class Solution:\n    def largest(self, nums):\n        return min(nums)"),
        ),
    ],
    "math_500": [(boxed("0.5"), boxed("0.25")), (boxed("\\{3, -3\\}"), boxed("3")), (boxed("9\\pi"), boxed("9"))],
    "mmlu": [(letter("D"), letter("B")), (boxed("A"), boxed("B"))],
    "mmlu_pro": [(letter("G"), letter("H")), (letter("C"), letter("G"))],
    "mmlu_redux": [(letter("B"), letter("A")), (letter("C"), letter("B"))],
    "prompts": [("<think>.</think> <answer>5</answer>", "<answer>6</answer>"), (boxed("6"), boxed("5"))],
    "simple_qa": [("Reykjavik", "Akureyri")],
    "swe_bench_verified": [("```diff\n+    return None\n```", "```diff\n+    pass\n```")],
}


class FakeJudge:
    """Grades by whether the reference stands in the reply; of two it prefers what is not ``<worse>``."""

    async def ask(self, prompt: str, schema: Mapping[str, object]) -> Mapping[str, object]:
        grades = schema["properties"]["grade"]["enum"]  # type: ignore[index]
        if "_a>" in prompt:
            first, second = prompt.split("_b>", 1)
            return {"reason": "", "grade": grades[0 if "<better>" in first or "<worse>" in second else -1]}
        reference = prompt.split("<correct_answer>\n")[1].split("\n")[0]
        is_right = reference in prompt.split("<reply>\n")[1]
        return {"reason": "", "grade": grades[0 if is_right else 1]}


@pytest.fixture(scope="module")
def accuracy() -> Iterator[Accuracy]:
    made = Accuracy(VerifierConfig(), SandboxConfig(), None, FakeJudge())
    yield made
    made.close()


def read(name: str, path: str = MINIATURE) -> tuple[list[Item], BenchmarkReport]:
    benchmark = load_benchmark(name)
    command = COMMAND if benchmark.check == "command" else None
    return read_benchmark(benchmark, path, command=command, problem=reference_problem)


def score(accuracy: Accuracy, item: Item, text: str) -> Score:
    prompt = item.prompt(str, Form("none"))
    return asyncio.run(accuracy(prompt, Response(text, finished=True)))  # type: ignore[arg-type]


def test_every_benchmark_has_responses_here() -> None:
    assert sorted(RESPONSES) == benchmark_names()


RUNS = {"codeforces": "cpp", "live_code_bench": "python"}
"""Languages in which the responses are run."""


def cases() -> Iterator[ParameterSet]:
    for name in sorted(RESPONSES):
        if name == "human_eval_mul":
            for language in PROGRAMS:
                marks = pytest.mark.needs("isolation", language)
                yield pytest.param(name, language, marks=marks, id=f"{name}-{language}")
        else:
            marks = pytest.mark.needs("isolation", RUNS[name]) if name in RUNS else ()
            yield pytest.param(name, None, marks=marks, id=name)


@pytest.mark.parametrize(("name", "language"), cases())
def test_a_right_response_is_right_and_a_wrong_one_wrong(accuracy: Accuracy, name: str, language: str | None) -> None:
    items, _ = read(name)
    pairs = RESPONSES[name]
    if language is not None:
        assert {item.groups["program_language"] for item in items} == {*PROGRAMS}
        items = [item for item in items if item.groups["program_language"] == language]
        program = fenced("", PROGRAMS[language])
        pairs = [(program, program.replace("3 *", "2 *"))] * len(items)
    scores = []
    for item, (right, wrong) in zip(items, pairs, strict=False):
        good, bad = score(accuracy, item, right), score(accuracy, item, wrong)
        assert good.value == 1.0, (item.id, good)
        assert bad.value == 0.0, (item.id, bad)
        assert bad.label != "no_reference"
        scores += [good, bad]
    benchmark = load_benchmark(name)
    metrics = own_metrics(benchmark.metrics, [made.metrics for made in scores])
    assert set(metrics) == (set(benchmark.metrics) & set(METRICS))
    assert all(0.0 <= metric <= 1.0 for metric in metrics.values())


def test_the_right_option_of_a_shuffled_row_is_right(accuracy: Accuracy) -> None:
    right = {"mini1": "A force", "mini2": "6", "mini3": "The chloroplast"}
    items, _ = read("gpqa_diamond")
    for item in items:
        lines = dict(line.split(". ", 1) for line in str(item.question).splitlines() if line[1:3] == ". ")
        for name, option in lines.items():
            assert score(accuracy, item, letter(name)).value == float(option == right[item.id])


def test_the_order_of_shuffled_options_is_the_rows_own() -> None:
    benchmark = load_benchmark("gpqa_diamond")
    first, again, other = (read_benchmark(benchmark, MINIATURE, seed=seed)[0] for seed in (0, 0, 5))
    assert first == again
    assert [item.check for item in first] != [item.check for item in other]
    assert len({item.check for item in first}) > 1


@pytest.mark.parametrize("name", sorted(RESPONSES))
def test_a_benchmark_says_where_its_set_is_and_under_which_licence(name: str) -> None:
    benchmark = load_benchmark(name)
    table = (benchmark_folder() / "README.md").read_text().splitlines()
    (line,) = [line for line in table if line.startswith(f"| `{name}`")]
    cells = [cell.strip() for cell in line.strip("| ").split(" | ")]
    assert benchmark.source == "yours" or benchmark.source.startswith("https://")
    assert benchmark.source.split(" ")[0] in cells[1]
    assert cells[2:] == [
        benchmark.licence, str(benchmark.samples), f"`{benchmark.check}`", ", ".join(benchmark.metrics)
    ]  # fmt: skip
    assert 1 <= benchmark.samples <= 64 and benchmark.max_tokens == 32768


def test_what_cannot_be_judged_is_listed_and_not_asked() -> None:
    assert read("c_eval")[1].left_out == ("2 (the answer '' is none of the 4 options)",)
    assert read("mmlu_redux")[1].left_out == ("2 (error_type is wrong_groundtruth)",)
    (reason,) = read("codeforces")[1].left_out
    assert reason.startswith("9001/C (many outputs are right, and its checker is a script")


def test_pickled_tests_are_not_opened_and_the_result_says_so() -> None:
    items, report = read("live_code_bench")
    assert report.remarks[0].startswith("1 rows have private tests that are pickled, which are never opened")
    assert [len(item.check.cases) for item in items] == [2, 1]  # type: ignore[union-attr]


def test_every_miniature_belongs_to_a_benchmark() -> None:
    files = {path.stem for path in (benchmark_folder() / "miniature").iterdir()}
    assert files == {*benchmark_names(), "codeforces_standings"}


def test_miniatures_travel_with_the_package() -> None:
    import tomllib

    setup = tomllib.loads((Path(__file__).parents[3] / "pyproject.toml").read_text())["tool"]["setuptools"]
    assert {"r1ray.evaluation.benchmarks", "r1ray.conf.benchmark", "r1ray.conf.benchmark.miniature"} <= set(
        setup["packages"]
    )
