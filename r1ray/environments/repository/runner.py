"""Commands and tests of repositories, in the sandbox of an environment worker.

    run(tree, command) --> a job: unpack, sh -c, pack --> its output, and the tree that it left
    judge(tree, task)  --> a job for each file of tests, on a fresh copy --> Verdict

Jobs are isolated from each other. Commands and tests have separate slots, so that a working policy does not wait for
others' tests. A program that takes too long is at fault itself; a machine that is too busy, or a slot that is not free
in time, is an InfrastructureError.
"""

from __future__ import annotations

import asyncio
import functools
import importlib.resources
import json
import secrets
from collections import defaultdict
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import TypeVar

from r1ray.environments.repository.archives import tar_tree
from r1ray.environments.repository.judgement import Outcome, Verdict, judged_tree, verdict_of
from r1ray.environments.repository.rows import ROOTS, Task, Test
from r1ray.environments.repository.trees import MAX_BYTES, MAX_FILE_BYTES, Tree, packed, parents_of
from r1ray.environments.world_context import WorldContext
from r1ray.errors import InfrastructureError, MachineTooBusy
from r1ray.reward.accuracy import open_sandbox
from r1ray.sandbox import languages
from r1ray.sandbox.inside import repository_command, repository_tests
from r1ray.sandbox.job import Command, Limits, Run
from r1ray.sandbox.pool import Sandbox

T = TypeVar("T")
OUTPUT_KIB = 64
SAID_CHARS = 1000
ATTEMPTS = 2
OF_STEP = {"command": 0.1, "tests": 0.12}
"""CPU limits of commands and tests, as shares of ``environment.step_timeout_s``; the wall clock limit is three times
that."""
OUTCOMES: dict[str, Outcome] = {repository_tests.PASSED: "passed", repository_tests.TAMPERED: "tampered"}


@dataclass(frozen=True, slots=True)
class Ran:
    """Result of a command."""

    run: Run
    tree: Tree | None
    """Files that it left; None if they are not kept."""
    why_not_kept: str = ""


class RepositoryRunner:
    """Sandbox of an environment worker for work on repositories; created at the first use."""

    def __init__(self, context: WorldContext) -> None:
        config, step_s = context.sandbox, context.step_timeout_s
        self._config, self._step_s = config, step_s
        self._limits = {
            kind: Limits(cpu_s=min(cpu_s, OF_STEP[kind] * step_s), memory_mib=config.memory_mib, output_kib=OUTPUT_KIB)
            for kind, cpu_s in (("command", config.cpu_s), ("tests", config.total_cpu_s))
        }
        self._starting = asyncio.Lock()
        self._sandbox: Sandbox | None = None
        self._threads: dict[str, ThreadPoolExecutor] = {}

    @property
    def has_pytest(self) -> bool:
        return "pytest" in self._config.packages

    async def sandbox(self) -> Sandbox:
        """Return the sandbox. Raises SandboxUnavailable, and UserError for a package of ``sandbox.packages`` that is
        not installed."""
        async with self._starting:
            if self._sandbox is None:
                num_slots = max(1, self._config.num_slots)
                both = replace(self._config, num_slots=len(OF_STEP) * num_slots)
                self._sandbox = await asyncio.to_thread(open_sandbox, both)
                self._threads = {
                    kind: ThreadPoolExecutor(num_slots, thread_name_prefix=f"repository {kind}") for kind in OF_STEP
                }
            return self._sandbox

    async def close(self) -> None:
        """End the sandbox. Idempotent."""
        if self._sandbox is not None:
            for threads in self._threads.values():
                threads.shutdown(wait=False, cancel_futures=True)
            await asyncio.to_thread(self._sandbox.close)
            self._sandbox = None

    # ------------------------------------------------------------------ a command

    async def run(self, tree: Mapping[str, bytes], command: str) -> Ran:
        """Run a command of the policy in a copy of a tree. Raises InfrastructureError."""
        sandbox = await self.sandbox()
        return await self._in_slot("command", self._command, sandbox, tree, command)

    def _command(self, sandbox: Sandbox, tree: Mapping[str, bytes], command: str) -> Ran:
        python, packages = sandbox.python
        script = "repository_command.py"
        run, left = sandbox.run_command(
            Command(
                argv=(python, "-I", "-S", "-B", script, python, command),
                profile="shell",
                files={script: _source(script), repository_command.BEFORE: packed(tree)},
                environment=_environment(packages),
                collect=repository_command.AFTER,
                file_kib=repository_command.MAX_BYTES >> 10,
                num_entries=_num_entries(tree),
            ),
            self._limits["command"],
        )
        if left is None:
            return Ran(run, None, "it left too much" if run.ended == "exited" else "it was ended")
        try:
            return Ran(run, tar_tree(left) if any(left[:1024]) else {})
        except ValueError as error:
            return Ran(run, None, str(error))

    # ------------------------------------------------------------------ tests

    async def judge(self, tree: Mapping[str, bytes], task: Task) -> Verdict:
        """Run the tests of a row on the changed repository. Raises InfrastructureError."""
        sandbox = await self.sandbox()
        outcomes, said = await self._in_slot("tests", self._judge, sandbox, tree, task)
        return verdict_of(task, outcomes, said)

    def _judge(self, sandbox: Sandbox, tree: Mapping[str, bytes], task: Task) -> tuple[dict[str, Outcome], str]:
        judged = judged_tree(tree, task)
        archive, num_entries = packed(judged), _num_entries(judged)
        by_file: defaultdict[str, list[Test]] = defaultdict(list)
        for test in task.tests:
            by_file[test.file].append(test)
        outcomes: dict[str, Outcome] = {}
        said, left_s = "", self._limits["tests"].cpu_s
        for file, tests in by_file.items():
            if left_s <= 0:
                outcomes |= {test.id: "timeout" for test in tests}
                continue
            plan, nonce = _plan(file, tests, task, judged, sandbox.python[1]), secrets.token_hex(32)
            run = self._tested(sandbox, archive, plan, nonce, cpu_s=left_s, num_entries=num_entries)
            left_s -= max(run.cpu_s, run.wall_s / 3)
            found = _outcomes(run, nonce, tests)
            outcomes |= found
            if not said and any(outcome != "passed" for outcome in found.values()):
                said = run.stderr.decode("utf-8", "replace")[-SAID_CHARS:]
        return outcomes, said

    def _tested(
        self, sandbox: Sandbox, archive: bytes, plan: object, nonce: str, *, cpu_s: float, num_entries: int
    ) -> Run:
        """Return how the tests of a file ended. Raises MachineTooBusy if that could not be decided twice."""
        python, script = sandbox.python[0], "repository_tests.py"
        command = Command(
            argv=(python, "-I", "-S", "-B", script),
            profile="shell",
            files={
                script: _source(script),
                repository_tests.BEFORE: archive,
                repository_tests.PLAN: json.dumps(plan).encode(),
            },
            environment=_environment(()),
            file_kib=MAX_FILE_BYTES >> 10,
            num_entries=num_entries,
        )
        limits = replace(self._limits["tests"], cpu_s=cpu_s)
        for _ in range(ATTEMPTS):
            run, _ = sandbox.run_command(command, limits, stdin=nonce.encode())
            if run.ended != "late" or run.wall_s - run.late_s >= cpu_s:  # it had enough time to use up its limit
                return run
        raise MachineTooBusy(
            f"this machine is too busy to test a repository: {run.cpu_s:.1f} s of CPU in {run.wall_s:.1f} s, twice"
        )

    # ------------------------------------------------------------------ slots

    async def _in_slot(self, kind: str, work: Callable[..., T], *arguments: object) -> T:
        """Return the result of ``work``, run in a thread of its kind. Raises InfrastructureError if it waited too long
        for a thread: its own time limit has to fit into the rest of the step."""
        started = asyncio.Event()
        loop = asyncio.get_running_loop()

        def begin() -> T:
            loop.call_soon_threadsafe(started.set)
            return work(*arguments)

        attempts = ATTEMPTS if kind == "tests" else 1
        patience_s = 0.9 * self._step_s - 3 * attempts * self._limits[kind].cpu_s
        future = loop.run_in_executor(self._threads[kind], begin)
        waiting = asyncio.create_task(started.wait())
        try:
            await asyncio.wait([waiting], timeout=patience_s)
            if not started.is_set() and future.cancel():
                raise InfrastructureError(
                    f"a repository waited {patience_s:.0f} s for a slot to run its {kind}: raise sandbox.num_slots, "
                    "environment.num_actors or environment.step_timeout_s."
                )
            return await future
        finally:
            waiting.cancel()
            future.cancel()  # work of an abandoned trajectory that has not begun


def _plan(file: str, tests: list[Test], task: Task, tree: Mapping[str, bytes], packages: tuple[str, ...]) -> object:
    """Return the input of the test script."""
    root = next((root for root in ROOTS if root and _begins_at(root, file, tests)), "")
    module = file.removesuffix(".py").removeprefix(f"{root}/" if root else "").replace("/", ".")
    has_source = any(path.startswith("src/") for path in tree)
    return {
        "runner": task.runner,
        "file": file,
        "root": root,
        "module": module,
        "roots": [*([root] if root else []), ".", *(["src"] if has_source else [])],
        "packages": packages,
        "tests": [test.name for test in tests],
    }


def _begins_at(root: str, file: str, tests: list[Test]) -> bool:
    """Return whether the names of tests begin inside of a folder: ``test_a.TestA`` for ``tests/test_a.py``."""
    return file.startswith(f"{root}/") and not any(
        test.id.replace("/", ".").split("(")[-1].startswith(f"{root}.") for test in tests
    )


def _outcomes(run: Run, nonce: str, tests: list[Test]) -> dict[str, Outcome]:
    """Return the outcomes that the script wrote; a run that was cut short, or to whose output others wrote, has
    none."""
    line = run.stdout.decode("ascii", "replace").split(" ")
    if run.ended == "exited" and len(line) == 2 and line[0] == nonce and len(line[1]) == len(tests):
        return {test.id: OUTCOMES.get(letter, "failed") for test, letter in zip(tests, line[1], strict=True)}
    ended: Outcome = "timeout" if run.ended in ("cpu", "wall", "late") else "failed"
    return {test.id: ended for test in tests}


@functools.cache
def _source(script: str) -> bytes:
    return importlib.resources.files(repository_tests.__package__).joinpath(script).read_bytes()


def _environment(packages: tuple[str, ...]) -> dict[str, str]:
    fixed = {"PATH": languages.PATH, "LANG": "C.UTF-8", "PYTHONDONTWRITEBYTECODE": "1"}
    return fixed | {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"} | ({"PYTHONPATH": ":".join(packages)} if packages else {})


def _num_entries(tree: Mapping[str, bytes]) -> int:
    return len(tree) + len({folder for path in tree for folder in parents_of(path)})


assert repository_command.MAX_BYTES >= MAX_BYTES
