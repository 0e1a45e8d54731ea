"""Code accuracy: tests of a program (paper section 2.2.2).

A program's outputs and return values are compared here, outside the sandbox. The expected values never enter it.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterable
from typing import Any

from r1ray.checks import AssertCase, CallCase, CodeTests, ProgramTests, StdioCase
from r1ray.data.json_text import parse
from r1ray.errors import UnscorableError
from r1ray.reward.comparison import has_no_number, same_tokens, same_value
from r1ray.reward.native import with_tests
from r1ray.reward.program import extract_program
from r1ray.reward.python_source import completed, definitions, shared_classes
from r1ray.sandbox.inside.codec import Opaque, decode, encode
from r1ray.sandbox.job import Limits, Run
from r1ray.sandbox.languages import LANGUAGES
from r1ray.sandbox.pool import Sandbox
from r1ray.types import Score

CALLS_AT_ONCE = 64
MAX_OUTPUT_KIB = 64 * 1024
"""Output limit for a program whose expected output is larger than ``sandbox.output_kib``."""
WALL_FACTOR = 3
"""Wall-clock time of all tests of a response, as a multiple of its CPU time."""


class CodeGrader:
    """Scores programs by their tests. Methods block and may be called from any number of threads."""

    def __init__(self, sandbox: Sandbox, *, limits: Limits, partial: bool = False, total_cpu_s: float = 40.0) -> None:
        """
        Args:
            limits: limits of one test case, unless the data give them.
            partial: the value is the share of passed cases; else 1 if all pass and 0 if one fails.
            total_cpu_s: CPU time that all cases of one response may use together.
        """
        self._sandbox, self._limits = sandbox, limits
        self._partial, self._total_cpu_s = partial, total_cpu_s

    def score(self, check: CodeTests, text: str) -> Score:
        """Return the score of a response.

        Raises:
            UnscorableError: the tests themselves are broken.
            InfrastructureError: the sandbox failed.
        """
        program = extract_program(text, check.language)
        if program is None:
            return Score(0.0, "no_answer", None, f"no closed {check.language} program in the answer")
        if check.language == "python" and check.starter:
            program = completed(program, check.starter, check.entry)
        limits = self._limits_of(check)
        total = self._total_cpu_s * max(1.0, limits.cpu_s / self._limits.cpu_s)
        grading = _Grading(self._sandbox, check, program, limits, total, grow=not self._partial)
        passed, num_run, failure = 0, 0, ""
        for label, detail in grading.outcomes():
            num_run += 1
            if label == "passed":
                passed += 1
                continue
            failure = failure or f"{label}\0{detail}"
            if not self._partial or label == "compile_error" or grading.is_spent:
                break
        tests = ProgramTests(passed, num_run, len(check.cases))
        if not failure:
            return Score(1.0, "correct", program, tests=tests)
        label, _, detail = failure.partition("\0")
        value = passed / len(check.cases) if self._partial else 0.0
        return Score(value, label, program, detail, tests=tests)

    def _limits_of(self, check: CodeTests) -> Limits:
        return Limits(
            cpu_s=check.time_limit_s or self._limits.cpu_s,
            memory_mib=check.memory_mib or self._limits.memory_mib,
            output_kib=max(self._limits.output_kib, min(_needed_kib(check), MAX_OUTPUT_KIB)),
        )


def _needed_kib(check: CodeTests) -> int:
    """Return the output in KiB that a right program may need: twice the printed text, and more for returned values,
    whose encoding is long."""
    printed = max((len(case.stdout) for case in check.cases if isinstance(case, StdioCase)), default=0)
    returned = max((len(case.expected) for case in check.cases if isinstance(case, CallCase)), default=0)
    return (2 * 4 * printed + 16 * returned) // 1024


class _Grading:
    """The grading of one program, case after case."""

    def __init__(
        self, sandbox: Sandbox, check: CodeTests, program: str, limits: Limits, total_cpu_s: float, *, grow: bool
    ) -> None:
        """``grow``: function calls run in batches that grow from one, so that few calls are made in vain."""
        self._sandbox, self._check, self._program, self._limits = sandbox, check, program, limits
        self._left_s, self._left_wall_s = total_cpu_s, WALL_FACTOR * total_cpu_s
        self._grow = grow

    @property
    def is_spent(self) -> bool:
        """True if the response has used up its time."""
        return self._left_s < 0 or self._left_wall_s < 0

    def outcomes(self) -> Iterable[tuple[str, str]]:
        """Yield ``("passed", "")`` or a label and a detail for each case, lazily."""
        cases = self._check.cases
        calls = [case for case in cases if isinstance(case, CallCase)]
        if calls:
            yield from self._calls(calls)
        for number, case in enumerate(cases):
            if isinstance(case, StdioCase):
                yield self._numbered(number, *self._stdio(case))
            elif isinstance(case, AssertCase):
                yield self._numbered(number, *self._asserts(case))

    def _numbered(self, number: int, label: str, detail: str) -> tuple[str, str]:
        return label, "" if label == "passed" else f"test {number + 1} of {len(self._check.cases)}: {detail}"

    def _spend(self, run: Run) -> tuple[str, str] | None:
        """Count a run's time. Return a label if the run did not end by itself or the response's time is used up."""
        self._use(run)
        if run.ended != "exited":
            return failure_of(run)
        return ("timeout", "all tests together take too long") if self.is_spent else None

    def _use(self, run: Run) -> None:
        self._left_s -= run.cpu_s
        self._left_wall_s -= run.wall_s

    def _stdio(self, case: StdioCase) -> tuple[str, str]:
        check = self._check
        if LANGUAGES[check.language].compile is not None:
            compiled = self._sandbox.compile(check.language, self._program)
            if compiled.artifact is None:
                assert compiled.run is not None
                return "compile_error", _tail(compiled.run.stderr or compiled.run.stdout)
        run = self._sandbox.run_program(check.language, self._program, self._limits, stdin=case.stdin.encode())
        ended = self._spend(run)
        if ended is not None:
            return ended
        if run.exit_code != 0:
            return "runtime_error", f"exit code {run.exit_code}: {_tail(run.stderr)}"
        if check.checker is not None and not has_no_number(run.stdout, case.stdout.encode()):
            return self._special(case, run)
        if same_tokens(run.stdout, case.stdout.encode(), check.float_tolerance):
            return "passed", ""
        return "wrong", f"printed {_tail(run.stdout)!r}"

    def _special(self, case: StdioCase, run: Run) -> tuple[str, str]:
        verdict = self._checked(case, run.stdout.decode(errors="replace"))
        if verdict.get("passed") is True:
            return "passed", ""
        # A checker that reports nothing, or an error, rejects the printed text, unless it also fails on the expected
        # one.
        if verdict.get("passed") is not False and self._checked(case, case.stdout).get("passed") is None:
            raise UnscorableError(f"the data set's checker does not run: {verdict.get('broken', 'no verdict')}")
        return "wrong", f"printed {_tail(run.stdout)!r}"

    def _checked(self, case: StdioCase, printed: str) -> dict[str, Any]:
        assert self._check.checker is not None
        run = self._sandbox.run_checker(
            self._check.checker, stdin=case.stdin, expected=case.stdout, printed=printed, limits=self._limits
        )
        self._use(run)
        return _verdict(run)

    def _native(self, case: AssertCase) -> tuple[str, str]:
        """Run test code below the program. The program passes if it reaches the end, which prints a word made for this
        run."""
        word = secrets.token_hex(16)
        source = with_tests(self._check.language, self._program, case.code, word)
        if LANGUAGES[self._check.language].compile is not None:
            compiled = self._sandbox.compile(self._check.language, source)
            if compiled.artifact is None:
                assert compiled.run is not None
                return "compile_error", _tail(compiled.run.stderr or compiled.run.stdout)
        run = self._sandbox.run_program(self._check.language, source, self._limits, stdin=b"")
        ended = self._spend(run)
        if ended is not None:
            return ended
        if run.exit_code == 0 and run.stdout.split()[-1:] == [word.encode()]:
            return "passed", ""
        return "wrong", f"exit code {run.exit_code}: {_tail(run.stderr or run.stdout)}"

    def _asserts(self, case: AssertCase) -> tuple[str, str]:
        if self._check.language != "python":
            return self._native(case)
        helpers = definitions(self._check.starter, self._check.entry)
        tests = f"{helpers}\n{case.code}" if helpers else case.code
        prelude = f"{helpers}\n{shared_classes(case.code)}"
        run = self._sandbox.run_asserts(self._program, self._check.entry, tests, self._limits, prelude=prelude)
        verdict = _verdict(run)
        if "broken" in verdict:
            raise UnscorableError(f"the data set's asserts do not run: {verdict['broken']}")
        if verdict.get("passed") is True:
            return self._spend(run) or ("passed", "")
        self._use(run)
        if run.ended != "exited" and not verdict:
            return failure_of(run)
        return "wrong", str(verdict.get("detail", "no verdict"))[:500]

    def _calls(self, cases: list[CallCase]) -> Iterable[tuple[str, str]]:
        """Run many calls in one process. The first call without a result, or without one for lack of memory, is made
        again in its own process, since the limits are those of one case."""
        done, size = 0, 1 if self._grow else CALLS_AT_ONCE
        while done < len(cases):
            if self.is_spent:
                yield self._numbered(done, "timeout", "all tests together take too long")
                done += 1
                continue
            batch = cases[done : done + size]
            run = self._call(batch)
            results = _results(run)
            for number, case in enumerate(batch):
                result = results.get(number)
                if len(batch) > 1 and (result is None or _lacked_room(result)):
                    size = 1
                    break
                yield self._numbered(done, *self._judge(case, result, run))
                done += 1
            else:
                size = min(4 * size, CALLS_AT_ONCE)

    def _call(self, cases: list[CallCase]) -> Run:
        try:
            arguments = [encode(parse(case.arguments)) for case in cases]
        except ValueError as error:
            raise UnscorableError(f"the arguments of a test are no JSON: {error}") from error
        limits = Limits(
            cpu_s=max(0.1, min(self._left_s, self._limits.cpu_s * len(cases))),
            memory_mib=self._limits.memory_mib,
            output_kib=self._limits.output_kib,
        )
        entry = self._check.entry or ""
        run = self._sandbox.run_calls(self._program, entry, arguments, limits, call_s=self._limits.cpu_s)
        self._use(run)
        return run

    def _judge(self, case: CallCase, result: dict[str, Any] | None, run: Run) -> tuple[str, str]:
        if result is None:
            return failure_of(run)
        if "e" in result:
            return "runtime_error", str(result["e"])[:500]
        given, expected = _decoded(result.get("v")), parse(case.expected)
        forms = [expected, *expected] if self._check.wrapped_results and isinstance(expected, list) else [expected]
        if any(same_value(given, form, self._check.float_tolerance) for form in forms):
            return "passed", ""
        return "wrong", f"returned {json.dumps(result.get('v'))[:200]}"


def _lacked_room(result: dict[str, Any]) -> bool:
    error = result.get("e")
    return isinstance(error, list) and error[:1] in (["MemoryError"], ["OSError"])


def _results(run: Run) -> dict[int, dict[str, Any]]:
    """Return the first result of each call. The data are hostile."""
    results: dict[int, dict[str, Any]] = {}
    for line in run.result.split(b"\n"):
        try:
            message = json.loads(line)
            results.setdefault(int(message["n"]), message)
        except (ValueError, KeyError, TypeError, OverflowError, RecursionError):
            continue
    return results


def _verdict(run: Run) -> dict[str, Any]:
    try:
        verdict = json.loads(run.result.split(b"\n", 1)[0] or b"{}")
    except (ValueError, RecursionError):
        return {}
    return verdict if isinstance(verdict, dict) else {}


def failure_of(run: Run) -> tuple[str, str]:
    """Return the label and detail of a program that did not run to its end."""
    said = _tail(run.stderr)
    return {
        "cpu": ("timeout", f"{run.cpu_s:.1f} s of CPU time"),
        "wall": ("timeout", f"waited {run.wall_s:.1f} s for something that did not happen"),
        "memory": ("memory", said),
        "output": ("output_limit", "printed too much"),
        "signal": ("runtime_error", f"ended by signal {-run.exit_code}"),
        "exited": ("runtime_error", f"exit code {run.exit_code}: {said}"),
    }[run.ended]


def _tail(data: bytes) -> str:
    return data[-300:].decode(errors="replace").strip()


def _decoded(data: Any) -> Any:
    """Return a program's value. A value that cannot be decoded equals nothing."""
    try:
        return decode(data)
    except (ValueError, TypeError, IndexError, AttributeError, OverflowError, RecursionError):
        return Opaque("malformed")
