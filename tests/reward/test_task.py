"""Tasks of reasoning-gym: their own checkers judge, and an answer that is executed can do nothing."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from r1ray.checks import ReasoningTask
from r1ray.config import RewardConfig, SandboxConfig
from r1ray.config.reasoning_gym import ReasoningGymConfig
from r1ray.data.checks import MalformedRow, dump_check, load_check, parse_check
from r1ray.reward.check_problems import reference_problem
from r1ray.reward.scorer import RewardScorer
from r1ray.reward.task import TaskGrader
from r1ray.sandbox.inside.codec import decode
from r1ray.stages.reasoning_gym import MIXED, write_tasks
from r1ray.types import Prompt, Response, Score, Scored
from tests import tools

ROW = {"type": "reasoning_gym", "name": "countdown", "options": "{}", "entry": "{}", "threshold": 1}


# ---------------------------------------------------------------------- the check


def test_a_check_goes_through_a_file_and_comes_back() -> None:
    check = parse_check(ROW)
    assert check == ReasoningTask(name="countdown", options="{}", entry="{}", threshold=1.0)
    assert load_check(dump_check(check)) == check


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"entry": None}, "needs the texts name, options and entry"),
        ({"entry": "{"}, "are no JSON"),
        ({"options": "[]"}, "need JSON objects"),
        ({"threshold": 2}, r"check\.threshold is 2: needs a number from 0 to 1"),
        ({"threshold": True}, r"check\.threshold is True"),
    ],
)
def test_a_malformed_check_is_refused(change: dict[str, Any], message: str) -> None:
    with pytest.raises(MalformedRow, match=message):
        parse_check(ROW | change)


def test_without_the_package_nothing_can_be_judged_and_the_way_to_it_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("r1ray.reward.check_problems.missing", lambda: "reasoning-gym is not installed: needs pip")
    assert reference_problem(parse_check(ROW)) == "reasoning-gym is not installed: needs pip"


# ---------------------------------------------------------------------- the checkers


SETS = ("chain_sum", "countdown", "n_queens", "simple_integration", "letter_counting")


def tasks(folder: Path, sets: str, **settings: Any) -> dict[str, ReasoningTask]:
    """The first task of each set."""
    pytest.importorskip("reasoning_gym", reason="reasoning-gym is not installed")
    path = write_tasks(f"reasoning_gym:{sets}", folder, ReasoningGymConfig(**settings), key="data.train")
    rows = [json.loads(line) for line in Path(path).read_text().splitlines()]
    found = {row["domain"]: parse_check(row["check"]) for row in reversed(rows)}
    assert all(isinstance(check, ReasoningTask) for check in found.values())
    return found  # type: ignore[return-value]


def answer_of(check: ReasoningTask) -> str:
    return str(decode(json.loads(check.entry))["answer"])


@pytest.fixture(scope="module")
def some(tmp_path_factory: pytest.TempPathFactory) -> dict[str, ReasoningTask]:
    return tasks(tmp_path_factory.mktemp("tasks"), "+".join(SETS), size=1)


@pytest.fixture(scope="module", params=["auto", pytest.param("landlock", marks=pytest.mark.long)])
def grader(request: pytest.FixtureRequest, some: dict[str, ReasoningTask]) -> Iterator[TaskGrader]:
    tools.require("isolation" if request.param == "auto" else request.param)
    made = TaskGrader(SandboxConfig(mode=request.param, cpu_s=0.5))
    yield made
    made.close()


def score(grader: TaskGrader, check: ReasoningTask, answer: str) -> Score:
    return asyncio.run(grader.score(check, f"<think>hm</think> <answer>{answer}</answer>"))


@pytest.mark.parametrize("name", SETS)
def test_the_set_s_own_answer_is_right_and_another_wrong(
    grader: TaskGrader, some: dict[str, ReasoningTask], name: str
) -> None:
    right = score(grader, some[name], answer_of(some[name]))
    wrong = score(grader, some[name], "1234567")
    assert (right.value, right.label, right.metrics) == (1.0, "correct", {"task_score": 1.0})
    assert (wrong.value, wrong.label) == (0.0, "wrong") and wrong.metrics["task_score"] < 1


def test_partial_credit_is_told_and_paid_from_the_threshold_on(
    grader: TaskGrader, some: dict[str, ReasoningTask]
) -> None:
    check = some["countdown"]
    assert score(grader, check, "1+1") == Score(0.0, "wrong", "1+1", "countdown: 0.05", {"task_score": 0.05})
    paid = score(grader, replace(check, threshold=0.05), "1+1")
    assert (paid.value, paid.label) == (0.05, "partial")
    assert asyncio.run(grader.score(check, "no answer here")) == Score(0.0, "no_answer")


HOSTILE = [
    "__import__('os').system('touch PLANTED')",
    "exec(chr(112))",
    "(exec)(chr(112))",
    "sqrt('__import__(\"os\")')",
    "[x for x in ().__class__.__bases__]",
    "getattr(1, 2)",
    "(lambda: 164)()",
    r"""__import__('os').write(3, b'{"n": 0, "v": {"float": "0x1p+0"}}\n')""",
]
"""The last one would say that it is right."""


@pytest.mark.parametrize("answer", HOSTILE)
@pytest.mark.parametrize("name", ["countdown", "n_queens", "simple_integration"])
def test_an_answer_that_would_be_executed_is_wrong_and_does_nothing(
    grader: TaskGrader, some: dict[str, ReasoningTask], tmp_path: Path, name: str, answer: str
) -> None:
    planted = tmp_path / "planted"
    found = score(grader, some[name], answer.replace("PLANTED", str(planted)))
    assert found.value == 0 and found.metrics.get("task_score", 0.0) < 1
    assert not planted.exists()


@pytest.mark.alone
@pytest.mark.parametrize("answer", ["9**9**9**9", "factorial(10**7)"])
def test_an_answer_that_never_ends_is_ended(grader: TaskGrader, some: dict[str, ReasoningTask], answer: str) -> None:
    found = score(grader, some["countdown"], answer)
    assert (found.value, found.label) == (0.0, "timeout")
    assert score(grader, some["chain_sum"], answer_of(some["chain_sum"])).value == 1, "the next one is scored"


WALLS = """
import socket

def tried(action):
    try:
        action()
    except OSError as error:
        return "refused" if isinstance(error, PermissionError) else "missing"

def score(path):
    return [tried(lambda: open(path)), tried(lambda: socket.create_connection(("127.0.0.1", 9), 1))]
"""


def test_what_a_checker_executes_sees_no_file_and_no_network(grader: TaskGrader) -> None:
    """The walls hold where the text is executed all the same."""
    run = grader._sandbox.run_calls(WALLS, "score", [["/etc/passwd"]], grader._limits, call_s=1.0)
    file, network = json.loads(run.result)["v"]
    assert file in ("refused", "missing") and network == "refused"


def test_a_scorer_judges_tasks_and_logs_the_set_s_own_score(
    grader: TaskGrader, some: dict[str, ReasoningTask], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("r1ray.reward.accuracy.TaskGrader", lambda config: grader)  # another would take seconds
    monkeypatch.setattr(grader, "close", lambda: None)
    scorer = RewardScorer(RewardConfig(parts={"accuracy": {}}), SandboxConfig())
    prompt = Prompt(id="0", text="q", check=some["countdown"], domain="countdown", language="en")
    try:
        outcome, extracted = asyncio.run(scorer.outcome(prompt, Response("<answer>1+1</answer>", True)))
    finally:
        scorer.close()
    assert isinstance(outcome, Scored) and extracted == "1+1"
    assert (outcome.total, outcome.parts) == (0.0, {"accuracy": 0.0, "task_score": 0.05})


@pytest.mark.long
@pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")
def test_every_set_takes_its_own_answer_from_the_sandbox_and_no_other(tmp_path: Path) -> None:
    """Nothing of a task is lost on its way through a file, and no checker needs more than the sandbox gives."""
    factory = pytest.importorskip("reasoning_gym.factory", reason="reasoning-gym is not installed")
    names = sorted(set(factory.DATASETS) - {MIXED, "game_of_life_halting"})  # the latter takes any answer
    every = tasks(tmp_path, "+".join(names), size=2)
    made = TaskGrader(SandboxConfig())
    try:
        answers = {name: answer for name, check in every.items() if (answer := answer_of(check)) != "None"}
        right = {name: score(made, every[name], answer).value for name, answer in answers.items()}
        wrong = {name: score(made, check, "certainly wrong").value for name, check in every.items()}
    finally:
        made.close()
    assert [name for name, value in right.items() if value < 1] == []
    assert [name for name, value in wrong.items() if value > 0] == []
    assert [name for name in names if name not in every] == [] and len(answers) > 95
    assert not [name for name, check in every.items() if '{"other"' in check.entry + check.options]
