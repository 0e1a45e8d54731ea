"""Tests and commands of repositories in the sandbox: verdicts that what a policy leaves cannot forge."""

from __future__ import annotations

import asyncio
import contextlib
import gzip
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from r1ray.config import SandboxConfig
from r1ray.environments.repository.judgement import Verdict
from r1ray.environments.repository.rows import task_of
from r1ray.environments.repository.runner import Ran, RepositoryRunner
from r1ray.environments.repository.trees import Tree, packed
from r1ray.environments.world_context import WorldContext
from r1ray.errors import InfrastructureError, MachineTooBusy
from r1ray.sandbox.job import Run
from tests.environments.repository.attacks import ATTACKS
from tests.environments.repository.repositories import ADD, PASS_TO_PASS, RIGHT, TREE, columns_of

pytestmark = pytest.mark.needs("isolation")


def judged(runner: RepositoryRunner, files: Tree, **columns: Any) -> Verdict:
    task = task_of(columns_of(**columns), has_pytest=False)
    return asyncio.run(runner.judge({**TREE, **files}, task))


def ran(runner: RepositoryRunner, command: str, tree: Tree = TREE) -> Ran:
    return asyncio.run(runner.run(tree, command))


@contextlib.contextmanager
def limited(runner: RepositoryRunner, kind: str, **limits: float) -> Iterator[None]:
    before = runner._limits[kind]
    runner._limits[kind] = replace(before, **limits)  # type: ignore[arg-type]
    try:
        yield
    finally:
        runner._limits[kind] = before


def test_a_solution_is_resolved_and_the_bug_is_not(runner: RepositoryRunner) -> None:
    assert judged(runner, {ADD: RIGHT}).label == "resolved"
    wrong = judged(runner, {})
    assert (wrong.label, wrong.share) == ("unresolved", 1 / 3)
    assert "-1 != 3" in wrong.detail


def test_a_test_that_passed_must_not_break(runner: RepositoryRunner) -> None:
    verdict = judged(runner, {ADD: b"def add(a, b):\n    return a + b or None\n"})
    assert (verdict.label, verdict.share) == ("broken", 2 / 3)
    assert PASS_TO_PASS[0] in verdict.detail


def test_hidden_tests_judge_too(runner: RepositoryRunner) -> None:
    hidden = {"tests/hidden.py": "import unittest, calc.core\nclass T(unittest.TestCase):\n"
              "    def test(self):\n        self.assertEqual(calc.core.add('a', 'b'), 'ab')\n"}  # fmt: skip
    columns = {"hidden_tests": hidden, "fail_to_pass": ["tests.hidden.T", "tests.test_core.TestAdd.test_add"]}
    assert judged(runner, {ADD: RIGHT}, **columns).is_resolved
    assert judged(runner, {ADD: b"def add(a, b):\n    return int(a) + int(b)\n"}, **columns).label == "unresolved"


@pytest.mark.parametrize("name", ATTACKS)
def test_nothing_but_a_solution_is_paid(runner: RepositoryRunner, name: str) -> None:
    verdict = judged(runner, ATTACKS[name])
    assert not verdict.is_resolved and verdict.share < 1.0


@pytest.mark.long
def test_pytest_judges_in_the_same_way() -> None:
    files = {"tests/test_pytest.py": b"from calc.core import add\n\ndef test_add():\n    assert add(2, 2) == 4\n"}
    names = ["tests/test_pytest.py::test_add", "tests/test_core.py::TestAdd::test_add"]
    context = WorldContext(sandbox=SandboxConfig(packages=["pytest"]), step_timeout_s=300.0)
    task = task_of(columns_of({**TREE, **files}, fail_to_pass=names), has_pytest=True)

    async def scenario() -> dict[str, Verdict]:
        runner = RepositoryRunner(context)
        trees = {
            "solved": {ADD: RIGHT},
            **{name: tree for name, tree in ATTACKS.items() if name != "equals everything"},
        }
        try:
            return {name: await runner.judge({**task.snapshot, **tree}, task) for name, tree in trees.items()}
        finally:
            await runner.close()

    found = asyncio.run(scenario())
    assert [name for name, verdict in found.items() if verdict.is_resolved] == ["solved"]


@pytest.mark.parametrize("loop", ["time.sleep(1000)", "pass"])
def test_tests_that_do_not_end_are_the_policys_failure(runner: RepositoryRunner, loop: str) -> None:
    with limited(runner, "tests", cpu_s=0.3):
        verdict = judged(runner, {ADD: f"import time\nwhile True:\n    {loop}\n".encode()})
    assert (verdict.label, verdict.share) == ("timeout", 0.0)


def test_a_machine_that_is_too_busy_is_nobodys_failure(
    runner: RepositoryRunner, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def judge() -> None:
        sandbox = await runner.sandbox()
        late = Run("late", -9, b"", b"", 0.1, 12.0, late_s=11.0)
        monkeypatch.setattr(sandbox, "run_command", lambda *_, **__: (late, None))
        await runner.judge(TREE, task_of(columns_of(), has_pytest=False))

    with pytest.raises(MachineTooBusy):
        asyncio.run(judge())


def test_a_slot_that_cannot_be_had_in_time_is_nobodys_failure(
    runner: RepositoryRunner, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runner, "_step_s", 0.0)
    task = task_of(columns_of(), has_pytest=False)

    async def judge() -> list[Verdict | BaseException]:
        await runner.sandbox()
        return await asyncio.gather(*(runner.judge(TREE, task) for _ in range(3)), return_exceptions=True)

    found = asyncio.run(judge())
    assert any(isinstance(each, InfrastructureError) and "waited" in str(each) for each in found)


def test_a_command_prints_and_what_it_leaves_is_kept(runner: RepositoryRunner) -> None:
    found = ran(
        runner, "python -m unittest; echo hello > new.txt; rm calc/core.py; mkdir a; ln -s /etc/passwd a/b; exit 3"
    )
    assert found.run.exit_code == 3 and b"FAILED (failures=2)" in found.run.stderr
    assert found.tree == {name: data for name, data in TREE.items() if name != ADD} | {"new.txt": b"hello\n"}


@pytest.mark.parametrize("forged", [b"# v2 git bundle\n", gzip.compress(packed(TREE))])
def test_what_a_command_leaves_is_read_as_the_tar_file_of_its_script_alone(
    runner: RepositoryRunner, monkeypatch: pytest.MonkeyPatch, forged: bytes
) -> None:
    async def run() -> Ran:
        sandbox = await runner.sandbox()
        monkeypatch.setattr(sandbox, "run_command", lambda *_, **__: (Run("exited", 0, b"", b"", 0.1, 0.1), forged))
        return await runner.run(TREE, "true")

    found = asyncio.run(run())
    assert found.tree is None and found.why_not_kept.startswith("it is no archive")


def test_a_command_that_leaves_too_much_leaves_nothing(runner: RepositoryRunner) -> None:
    many = ran(runner, "i=0; while [ $i -lt 4000 ]; do : > f$i; i=$((i+1)); done")
    assert many.tree is None and many.run.ended == "output"
    assert ran(runner, "rm -r calc tests").tree == {}


def test_a_tree_may_have_more_files_than_a_job_may_make(runner: RepositoryRunner) -> None:
    found = ran(runner, "ls calc | wc -l; touch new", {**TREE, **{f"calc/f{number}": b"" for number in range(700)}})
    assert found.run.stdout.split() == [b"702"]
    assert found.tree is not None and len(found.tree) == len(TREE) + 701


def test_a_command_cannot_see_other_files_or_the_tests_of_another_job(runner: RepositoryRunner) -> None:
    found = ran(runner, "cat /etc/shadow; ls ..; cat ../tree.tar > /dev/null && echo own; cd /; echo x > y")
    assert b"own" in found.run.stdout and b"root:" not in found.run.stdout
    assert b"plan.json" not in found.run.stdout and found.run.exit_code != 0


def test_a_command_whose_time_is_up_is_ended(runner: RepositoryRunner) -> None:
    with limited(runner, "command", cpu_s=0.3):
        found = ran(runner, "echo begun; sleep 1000")
    assert found.run.ended in ("wall", "late") and found.run.stdout == b"begun\n"
    assert found.tree is None
