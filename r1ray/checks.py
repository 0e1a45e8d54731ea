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
    """One run of the whole program: what it reads, and what it has to print."""

    stdin: str
    stdout: str


@dataclass(frozen=True, slots=True)
class CallCase:
    """One call of the entry function. Both are plain data as JSON text, so that the case is hashable."""

    arguments: str
    """A JSON list, ``"[1, 2]"``."""
    expected: str
    """JSON: ``"3"``."""


@dataclass(frozen=True, slots=True)
class AssertCase:
    """Test code of the data set in the program's language: in Python it defines ``check(candidate)`` (HumanEval) or
    holds bare asserts (MBPP); in others it is what MultiPL-E puts below the program."""

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
    """All of one kind."""
    entry: str | None = None
    """The function that calls and asserts are about: ``"add"`` or ``"Solution().twoSum"``."""
    time_limit_s: float | None = None
    """CPU seconds of one case; None takes ``sandbox.cpu_s``."""
    memory_mib: int | None = None
    """None takes ``sandbox.memory_mib``."""
    float_tolerance: float | None = None
    """Relative and absolute tolerance where a token of the expected output is a decimal number; None: exact."""
    checker: str | None = None
    """Python source of the data set's own checker, for problems with many right outputs: it defines
    ``check(stdin, expected, printed) -> bool`` and runs in a sandbox of its own."""
    wrapped_results: bool = False
    """Each expected result of a call may stand in a list of its own, as APPS writes them: both forms count."""
    starter: str = ""
    """Python code that the prompt shows: what it defines beside the entry is there for program and tests, and a
    response that is only the body of its last function completes it."""


@dataclass(frozen=True, slots=True)
class FormatOnly:
    """The prompt has no reference: only the form of the response is looked at."""


@dataclass(frozen=True, slots=True)
class Choice:
    """Check of a multiple-choice prompt: the letter of the right option."""

    letter: str
    """``"B"``."""
    num_options: int
    """Options are lettered from A on; letters beyond are no answers."""


@dataclass(frozen=True, slots=True)
class Reading:
    """Check of a reading question: by each gold answer, an answer being one or several spans."""

    answers: tuple[tuple[str, ...], ...]


@dataclass(frozen=True, slots=True)
class Countdown:
    """Check of an arithmetic puzzle: an expression that uses each number exactly once and comes to the target."""

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
    """Check of an instruction-following prompt: by each of its rules."""

    rules: tuple[Rule, ...]


@dataclass(frozen=True, slots=True)
class Judged:
    """Check of a prompt that no rule can decide: a generative judge compares with the reference."""

    reference: str
    question: str = ""
    """The question that the judge is told; empty: the prompt's text."""
    rubric: str = "agrees"
    """One of ``r1ray.reward.judged.RUBRICS``."""


@dataclass(frozen=True, slots=True)
class Pairwise:
    """Check of an open-ended prompt: a generative judge prefers the response or the baseline's."""

    question: str
    baseline: str
    rubric: str = "three_way"
    """One of ``r1ray.reward.pairwise.RUBRICS``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReasoningTask:
    """Check of a task of reasoning-gym's: by the checker of its set. Both texts are JSON that keeps types apart
    (:mod:`r1ray.sandbox.inside.codec`)."""

    name: str
    """Name of the set, ``"countdown"``."""
    options: str
    """Options of the set's configuration."""
    entry: str
    """Entry that the set makes of the task: its question, an answer and metadata."""
    threshold: float
    """Least score that is paid."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ExternalCommand:
    """Check of a task that has a harness of its own (Aider, SWE-bench): by a command of the user's.

    Prompt files cannot ask for one: what is run is the benchmark's, or the user's, never a row's.
    """

    argv: tuple[str, ...]
    task: str
    """The row, a JSON object."""
    deadline_s: float


@dataclass(frozen=True, slots=True)
class OwnCheck:
    """Check of the user's own: a function or a class that judges a response (``r1ray.reward.own_check``)."""

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
    """Outcome of the tests of a program: so many passed, of those that were run, and of all that there are."""

    passed: int
    run: int
    total: int
