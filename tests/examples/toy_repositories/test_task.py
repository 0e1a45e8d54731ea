"""Toy repositories: each bug is seen by its tests and by no other, and a solution passes all."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from r1ray.config import SandboxConfig
from r1ray.environments.repository.rows import task_of
from r1ray.environments.repository.runner import RepositoryRunner
from r1ray.environments.repository.trees import Tree
from r1ray.environments.world_context import WorldContext
from r1ray.examples.toy_repositories.task import Task, split_of, tasks

TASKS = tasks(seed=0)
FAILED = """
import sys, unittest

for folder, name in zip(sys.argv[1::2], sys.argv[2::2]):
    sys.path.insert(0, folder)
    result = unittest.TestResult()
    unittest.TestLoader().loadTestsFromName(name).run(result)
    print(result.testsRun, *sorted(test.id() for test, _ in result.failures + result.errors))
    sys.path.pop(0)
    for module, loaded in list(sys.modules.items()):
        if str(getattr(loaded, "__file__", None)).startswith(folder):
            del sys.modules[module]
"""


def written(folder: Path, tree: Tree) -> Path:
    for path, content in tree.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(content)
    return folder


def whole(task: Task, tree: Tree) -> Tree:
    return tree | {path: text.encode() for path, text in task.hidden_tests.items()}


def test_each_bug_is_seen_by_its_tests_and_a_solution_passes_all(tmp_path: Path) -> None:
    words, expected = [], []
    for task in TASKS:
        trees = {"bug": whole(task, task.snapshot), "solved": whole(task, task.solved), "before": task.snapshot}
        for kind, tree in trees.items():
            words += [str(written(tmp_path / task.id / kind, tree)), f"tests.test_{task.program.name}"]
            num_tests = len(task.program.tests) - (len(task.fail_to_pass) if kind == "before" else 0)
            expected.append(" ".join([str(num_tests), *(sorted(task.fail_to_pass) if kind == "bug" else [])]))
    done = subprocess.run([sys.executable, "-B", "-c", FAILED, *words], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == expected


def test_every_row_can_be_judged_and_no_package_is_there_twice() -> None:
    for task in TASKS:
        read = task_of(task.row(), has_pytest=False)
        assert read.snapshot == task.snapshot
        assert len(read.tests) == len(task.program.tests)
    assert len({task.package for task in TASKS}) == len({task.id for task in TASKS}) == 24


def test_a_seed_gives_the_same_tasks_and_another_one_others() -> None:
    assert [task.row() for task in tasks(seed=0)] == [task.row() for task in TASKS]
    assert [task.id for task in tasks(seed=1)] != [task.id for task in TASKS]


def test_of_each_program_one_bug_is_held_out() -> None:
    held_out = Counter(task.program.name for task in TASKS if split_of(task, seed=0) == "heldout")
    assert set(held_out.values()) == {1} and len(held_out) == 8


@pytest.mark.long
@pytest.mark.needs("isolation")
def test_in_the_sandbox_solutions_get_one_and_unchanged_repositories_zero() -> None:
    async def scenario() -> None:
        context = WorldContext(sandbox=SandboxConfig(), step_timeout_s=300.0)
        runner = RepositoryRunner(context)
        try:
            for task in TASKS:
                read = task_of(task.row(), has_pytest=False)
                assert (await runner.judge(task.solved, read)).is_resolved, task.id
                assert (await runner.judge(task.snapshot, read)).label == "unresolved", task.id
        finally:
            await runner.close()

    asyncio.run(scenario())
