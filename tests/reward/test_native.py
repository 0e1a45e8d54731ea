"""Tests in the program's own language: each language with a program that passes and ones that must not."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import pytest

from r1ray.checks import CodeTests
from r1ray.config import SandboxConfig
from r1ray.evaluation.benchmarks.definition import load_benchmark
from r1ray.evaluation.benchmarks.reader import MINIATURE, read_benchmark
from r1ray.reward.accuracy import grader_of, open_sandbox
from r1ray.reward.code import CodeGrader
from r1ray.reward.native import native_languages, with_tests
from r1ray.sandbox.languages import LANGUAGES
from r1ray.types import Score
from tests.tools import needing

pytestmark = pytest.mark.needs("isolation")

METHODS = {
    "java": "public static long triple(long n) {\n    return 3 * n;\n}",
    "csharp": "public static long Triple(long n) {\n    return 3 * n;\n}",
}
LEAVERS = {
    "java": "class Problem { public static long triple(long n) { System.exit(0); return 0; } }",
    "cpp": "#include <cstdlib>\nlong triple(long n) { std::exit(0); }",
    "csharp": "class Problem { public static long Triple(long n) { System.Environment.Exit(0); return 0; } }",
    "javascript": "function triple(n) { process.exit(0); }",
    "typescript": "declare var process: any;\nfunction triple(n: number): number { process.exit(0); return 0; }",
    "php": "<?php function triple($n) { exit(0); }",
    "bash": "exit 0\ntriple() { echo 6; }",
}


@pytest.fixture(scope="module")
def grader() -> Iterator[CodeGrader]:
    config = SandboxConfig()
    sandbox = open_sandbox(config)
    yield grader_of(config, sandbox)
    sandbox.close()


@pytest.fixture(scope="module")
def checks() -> dict[str, CodeTests]:
    items, _ = read_benchmark(load_benchmark("human_eval_mul"), MINIATURE)
    return {item.check.language: item.check for item in items if isinstance(item.check, CodeTests)}


def in_each(languages: Iterable[str]) -> pytest.MarkDecorator:
    """Parametrize a test with ``language``."""
    return pytest.mark.parametrize("language", [needing(name, name) for name in sorted(languages)])


def score(grader: CodeGrader, check: CodeTests, program: str) -> Score:
    return grader.score(check, f"```\n{program}\n```")


@in_each(METHODS)
def test_a_bare_method_is_put_into_its_class(grader: CodeGrader, checks: dict[str, CodeTests], language: str) -> None:
    assert score(grader, checks[language], METHODS[language]).value == 1.0
    assert score(grader, checks[language], METHODS[language].replace("3", "2")).value == 0.0


@in_each(LEAVERS)
def test_a_program_that_leaves_early_passes_nothing(
    grader: CodeGrader, checks: dict[str, CodeTests], language: str
) -> None:
    assert score(grader, checks[language], LEAVERS[language]).value == 0.0


@pytest.mark.needs("cpp")
def test_what_does_not_compile_is_wrong(grader: CodeGrader, checks: dict[str, CodeTests]) -> None:
    assert score(grader, checks["cpp"], "long triple(").label == "compile_error"


def test_every_language_of_the_sandbox_has_tests_of_its_own() -> None:
    assert native_languages() | {"python"} == set(LANGUAGES)


def test_older_bash_tests_fail_at_the_first_wrong_line() -> None:
    joined = with_tests(
        "bash", "f() { echo 1; }", "}\nrun_test() {\n    [[ $(f) = 2 ]]\n    [[ $(f) = 1 ]]\n}\nrun_test", "w"
    )
    assert "set -e" in joined and "\n}\nrun_test() {" not in joined.split("set -e")[0]
