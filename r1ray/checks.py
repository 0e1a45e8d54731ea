"""Checks of prompts: :data:`Check`, a sum type with one class for each kind of reference."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias


@dataclass(frozen=True, slots=True)
class MathAnswer:
    """Check of a math prompt: the reference answer, as the data set writes it (``"29"``)."""

    answer: str


@dataclass(frozen=True, slots=True)
class StdioCase:
    """One run of the whole program: its input and the output it must print."""

    stdin: str
    stdout: str


@dataclass(frozen=True, slots=True)
class CallCase:
    """One call of the entry function. Arguments and result are plain data as JSON text, so that the case is
    hashable."""

    arguments: str
    """A JSON list, ``"[1, 2]"``."""
    expected: str
    """JSON: ``"3"``."""


@dataclass(frozen=True, slots=True)
class AssertCase:
    """Test code of the data set in the program's language. In Python it defines ``check(candidate)`` (HumanEval) or
    holds bare asserts (MBPP); in other languages it is the code that MultiPL-E puts below the program."""

    code: str


CodeCase: TypeAlias = StdioCase | CallCase | AssertCase


@dataclass(frozen=True, slots=True, kw_only=True)
class CodeTests:
    """Check of a code prompt: the tests that a program has to pass.

    Example: ``CodeTests(language="python", cases=(StdioCase("1 2\\n", "3\\n"),))``
    """

    language: str
    """One of ``r1ray.sandbox.languages.LANGUAGES``."""
    cases: tuple[CodeCase, ...]
    """Test cases, all of one kind."""
    entry: str | None = None
    """Function that call and assert cases test: ``"add"`` or ``"Solution().twoSum"``."""
    time_limit_s: float | None = None
    """CPU seconds of one case; None takes ``sandbox.cpu_s``."""
    memory_mib: int | None = None
    """None takes ``sandbox.memory_mib``."""
    float_tolerance: float | None = None
    """Relative and absolute tolerance for a token of the expected output that is a decimal number; None: exact."""
    checker: str | None = None
    """Python source of the data set's own checker, for problems with many right outputs. It defines ``check(stdin,
    expected, printed) -> bool`` and runs in a sandbox of its own."""
    wrapped_results: bool = False
    """True if the expected result of a call may stand in a list of its own, as in APPS; both forms then count."""
    starter: str = ""
    """Python code that the prompt shows. Program and tests can use what it defines beside the entry, and a response
    that is only the body of its last function completes it."""


@dataclass(frozen=True, slots=True)
class FormatOnly:
    """Check of a prompt without a reference: only the form of the response is judged."""


@dataclass(frozen=True, slots=True)
class Choice:
    """Check of a multiple-choice prompt: the letter of the right option."""

    letter: str
    """``"B"``."""
    num_options: int
    """Number of options, lettered from A on; letters beyond them are not answers."""


@dataclass(frozen=True, slots=True)
class Reading:
    """Check of a reading question against each gold answer; an answer consists of one or more spans."""

    answers: tuple[tuple[str, ...], ...]


@dataclass(frozen=True, slots=True)
class Countdown:
    """Check of an arithmetic puzzle: the expression uses each number exactly once and evaluates to the target."""

    numbers: tuple[int, ...]
    target: int


@dataclass(frozen=True, slots=True)
class Rule:
    """One instruction that a program can check (IFEval)."""

    id: str
    """``"length_constraints:number_words"``."""
    arguments: str
    """A JSON object, ``'{"relation": "at least", "num_words": 100}'``."""


@dataclass(frozen=True, slots=True)
class Instructions:
    """Check of an instruction-following prompt against each of its rules."""

    rules: tuple[Rule, ...]


@dataclass(frozen=True, slots=True)
class Judged:
    """Check of a prompt that no rule can decide: a generative judge compares the response with the reference."""

    reference: str
    question: str = ""
    """Question shown to the judge; empty: the prompt's text."""
    rubric: str = "agrees"
    """One of ``r1ray.reward.judged.RUBRICS``."""


@dataclass(frozen=True, slots=True)
class Pairwise:
    """Check of an open-ended prompt: a generative judge prefers either the response or the baseline's answer."""

    question: str
    baseline: str
    rubric: str = "three_way"
    """One of ``r1ray.reward.pairwise.RUBRICS``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReasoningTask:
    """Check of a reasoning-gym task by the checker of its set. Both texts are JSON that preserves types
    (:mod:`r1ray.sandbox.inside.codec`)."""

    name: str
    """Name of the set, ``"countdown"``."""
    options: str
    """Options of the set's configuration."""
    entry: str
    """Entry that the set generates for the task: its question, an answer and metadata."""
    threshold: float
    """Least score that earns a reward."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ExternalCommand:
    """Check of a task with its own harness (Aider, SWE-bench) by a command of the user's.

    Prompt files cannot request one: the command comes from the benchmark or the user, never from a row.
    """

    argv: tuple[str, ...]
    task: str
    """The row, a JSON object."""
    deadline_s: float


@dataclass(frozen=True, slots=True)
class OwnCheck:
    """Check by the user's own function or class, which judges a response (``r1ray.reward.own_check``)."""

    path: str
    """``"my_checks:contains"``."""
    data: str
    """The rest of the row's check, a JSON object: ``'{"word": "Paris"}'``."""


Check: TypeAlias = (
    MathAnswer
    | CodeTests
    | FormatOnly
    | Choice
    | Reading
    | Countdown
    | Instructions
    | Judged
    | Pairwise
    | ReasoningTask
    | ExternalCommand
    | OwnCheck
)


@dataclass(frozen=True, slots=True)
class ProgramTests:
    """Outcome of the tests of a program: numbers of tests that passed, that were run, and that exist."""

    passed: int
    run: int
    total: int
