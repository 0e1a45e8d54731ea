"""Tasks and their rows, made by a seed: a repository with one bug, its issue, and the tests that judge a solution."""

from __future__ import annotations

import base64
import gzip
import hashlib
import random
import textwrap
from dataclasses import dataclass
from typing import Any, Literal

from r1ray.environments.repository.trees import Tree, packed
from r1ray.examples.toy_repositories.programs import PROGRAMS, Bug, Program

Split = Literal["train", "heldout"]
PREFIXES = ("mini", "tiny", "plain", "quick", "handy", "small", "open", "bare")
PROMPT = (
    "The Python package {package} has a bug. Find it and correct it with the tools, then say what was wrong. Tests are "
    "in the folder tests.\n\nIssue: {issue}"
)


@dataclass(frozen=True, slots=True)
class Task:
    """One bug of one program, with its own package name."""

    program: Program
    bug: Bug
    package: str

    @property
    def id(self) -> str:
        return f"{self.package}-{self.bug.module}-{self.program.bugs.index(self.bug)}"

    @property
    def prompt(self) -> str:
        return PROMPT.format(package=self.package, issue=self.bug.issue)

    @property
    def solved(self) -> Tree:
        """The repository without the bug."""
        return self._tree(self.program.modules)

    @property
    def snapshot(self) -> Tree:
        """The repository with the bug, without the tests that find it."""
        module = self.program.modules[self.bug.module]
        assert module.count(self.bug.right) == 1, f"{self.id}: the place of the bug"
        return self._tree({**self.program.modules, self.bug.module: module.replace(self.bug.right, self.bug.wrong)})

    @property
    def hidden_tests(self) -> dict[str, str]:
        """All tests, as they are added before judging."""
        return {self._test_file: self._tests(set(self.program.tests))}

    @property
    def fail_to_pass(self) -> list[str]:
        return [self._named(test) for test in self.program.tests if test in self.bug.seen_by]

    @property
    def pass_to_pass(self) -> list[str]:
        return [self._named(test) for test in self.program.tests if test not in self.bug.seen_by]

    def row(self, **snapshot: str) -> dict[str, Any]:
        """Return the row of the task. ``snapshot`` is the column that holds its repository; without it, the repository
        is in the row."""
        inline = {"snapshot_base64": base64.b64encode(self.archive).decode()}
        return {
            "id": self.id,
            "prompt": self.prompt,
            "environment": "repository",
            "domain": self.bug.kind.replace(" ", "_"),
            "language": "en",
            **(snapshot or inline),
            "hidden_tests": self.hidden_tests,
            "fail_to_pass": self.fail_to_pass,
            "pass_to_pass": self.pass_to_pass,
        }

    @property
    def archive(self) -> bytes:
        """The snapshot as .tar.gz."""
        return gzip.compress(packed(self.snapshot), mtime=0)

    # ------------------------------------------------------------------ files

    @property
    def _test_file(self) -> str:
        return f"tests/test_{self.program.name}.py"

    @property
    def _test_class(self) -> str:
        return f"Test{self.program.name.capitalize()}"

    def _named(self, test: str) -> str:
        return f"tests.test_{self.program.name}.{self._test_class}.test_{test}"

    def _tree(self, modules: dict[str, str]) -> Tree:
        texts = {
            "README.md": f"# {self.package}\n\n{self.program.about}\n\nTests: `python -m unittest`\n",
            f"{self.package}/__init__.py": f'"""{self.program.about}"""\n',
            **{f"{self.package}/{name}.py": text for name, text in modules.items()},
            "tests/__init__.py": "",
            self._test_file: self._tests(set(self.program.tests) - set(self.bug.seen_by)),
        }
        return {path: text.replace("PACKAGE", self.package).encode() for path, text in texts.items()}

    def _tests(self, names: set[str]) -> str:
        methods = [
            f"    def test_{name}(self):\n{textwrap.indent(body, ' ' * 8)}\n"
            for name, body in self.program.tests.items()
            if name in names
        ]
        head = f"import unittest\n\n{self.program.imports}\n\n\nclass {self._test_class}(unittest.TestCase):\n"
        return (head + "\n".join(methods)).replace("PACKAGE", self.package)


def tasks(*, seed: int) -> list[Task]:
    """Return every task, in an order and under names drawn by the seed."""
    rng = random.Random(seed)
    made = []
    for program in PROGRAMS:
        prefixes = rng.sample(PREFIXES, len(program.bugs))
        made += [
            Task(program, bug, f"{prefix}{program.name}") for prefix, bug in zip(prefixes, program.bugs, strict=True)
        ]
    rng.shuffle(made)
    return made


def split_of(task: Task, *, seed: int) -> Split:
    """Return whether a task is for training or held out: one bug of each program is held out."""
    digest = hashlib.sha256(f"{seed}/{task.program.name}".encode()).digest()
    return "heldout" if task.program.bugs.index(task.bug) == digest[0] % len(task.program.bugs) else "train"
