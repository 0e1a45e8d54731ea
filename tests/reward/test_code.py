"""What counts as the same output, and scores of programs in the real sandbox. (Hostile programs: tests/sandbox.)"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from r1ray.checks import AssertCase, CallCase, CodeTests, ProgramTests, StdioCase
from r1ray.errors import UnscorableError
from r1ray.reward.code import CodeGrader
from r1ray.reward.comparison import same_tokens, same_value
from r1ray.sandbox.inside.codec import Opaque, decode, encode
from r1ray.sandbox.job import Limits
from r1ray.sandbox.pool import Sandbox

pytestmark = pytest.mark.needs("isolation")

LIMITS = Limits(cpu_s=20.0)
"""Time enough for a program that ends by itself, however busy the machine is."""
SHORT = Limits(cpu_s=0.5)


@pytest.mark.parametrize(
    ("printed", "expected", "tolerance", "same"),
    [
        (b"1 2\n", b"1  2", None, True),
        (b"1\n2\n", b"1 2", None, True),
        (b"1", b"1 2", None, False),
        (b"1 2 3", b"1 2", None, False),
        (b"0.5", b"0.50", None, False),
        (b"0.5", b"0.50", 1e-9, True),
        (b"0.5000001", b"0.5", 1e-6, True),
        (b"0.6", b"0.5", 1e-6, False),
        (b"1000001", b"1000000", 1e-3, False),
        (b"1e400", b"inf", 1e-6, False),
        (b"nan", b"0.5", 1e-6, False),
        (b"nan", b"nan", 1e-6, True),
        (b"inf", b"1e308", 1e-6, False),
        ("\u0662".encode(), b"2", 1e-6, False),
        (b"yes 1.0", b"YES 1.0", 1e-6, False),
        (b"", b"", None, True),
        (b"2\0", b"2", None, False),
    ],
)
def test_output_is_compared_token_by_token(
    printed: bytes, expected: bytes, tolerance: float | None, same: bool
) -> None:
    assert same_tokens(printed, expected, tolerance) == same


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
)


@given(JSON)
def test_a_value_equals_itself_after_the_way_out_of_the_sandbox(value: Any) -> None:
    arrived = decode(json.loads(json.dumps(encode(value))))
    assert same_value(arrived, json.loads(json.dumps(value)))


PLAIN = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.text()
    | st.binary()
    | st.complex_numbers(allow_nan=False),
    lambda inner: (
        st.lists(inner, max_size=3) | st.tuples(inner, inner) | st.dictionaries(st.integers(), inner, max_size=3)
    ),
)


@given(PLAIN)
def test_the_codec_keeps_every_type(value: Any) -> None:
    arrived = decode(json.loads(json.dumps(encode(value))))
    assert type(arrived) is type(value) and arrived == value


@pytest.mark.parametrize(
    ("given_", "expected"),
    [(True, 1), (1, True), (1.5, 1), ("1", 1), (None, 0), ([1], 1), ([1, 2], [1]), ({"a": 1}, {"b": 1}), ({1}, [1]),
     (float("nan"), float("nan")), (Opaque("x"), "x"), (b"a", "a"), (0, False), ([True], [1]),
     ({1: 2, "1": 2}, {"1": 2})],
)  # fmt: skip
def test_values_of_other_types_are_not_the_same(given_: Any, expected: Any) -> None:
    assert not same_value(given_, expected)


class _Sly(int):
    def __eq__(self, other: object) -> bool:
        return True

    __hash__ = int.__hash__


def test_what_a_subclass_says_of_itself_does_not_count() -> None:
    assert encode(_Sly(3)) == 3
    assert not same_value(decode(encode(_Sly(3))), 4)
    assert decode(encode(object())) != decode(encode(object()))


# ---------------------------------------------------------------------- in the sandbox


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    with Sandbox(num_slots=1) as made:
        yield made


def python(program: str) -> str:
    return f"<think>hm</think>\n```python\n{program}\n```"


THREE = CodeTests(language="python", cases=tuple(StdioCase(str(n), str(n * n)) for n in range(3)))


def test_all_tests_have_to_pass(sandbox: Sandbox) -> None:
    grader = CodeGrader(sandbox, limits=LIMITS)
    assert grader.score(THREE, python("print(int(input()) ** 2)")).value == 1.0
    score = grader.score(THREE, python("print(int(input()))"))  # right for 0 and 1
    assert (score.value, score.label, score.detail) == (0.0, "wrong", "test 3 of 3: printed '2'")
    assert score.tests == ProgramTests(passed=2, run=3, total=3)
    assert grader.score(THREE, python("print(7)")).tests == ProgramTests(passed=0, run=1, total=3), "it stops there"


def test_partial_credit_is_the_share_of_passed_tests(sandbox: Sandbox) -> None:
    grader = CodeGrader(sandbox, limits=LIMITS, partial=True)
    score = grader.score(THREE, python("print(int(input()))"))
    assert (score.value, score.tests) == (pytest.approx(2 / 3), ProgramTests(2, 3, 3))


@pytest.fixture
def runs(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return the programs that are run, as they are run."""
    original, programs = Sandbox.run_program, []

    def noted(self: Sandbox, language: str, source: str, *more: Any, **options: Any) -> Any:
        programs.append(source)
        return original(self, language, source, *more, **options)

    monkeypatch.setattr(Sandbox, "run_program", noted)
    return programs


def test_it_stops_at_the_first_failure_unless_credit_is_partial(sandbox: Sandbox, runs: list[str]) -> None:
    CodeGrader(sandbox, limits=LIMITS).score(THREE, python("print(7)"))
    assert len(runs) == 1
    CodeGrader(sandbox, limits=LIMITS, partial=True).score(THREE, python("print(7)"))
    assert len(runs) == 4


@pytest.mark.parametrize(
    ("program", "label"),
    [
        pytest.param("while True: pass", "timeout", marks=pytest.mark.alone),
        ("x = ' ' * 10**10", "memory"),
        ("1 / 0", "runtime_error"),
        ("print('x' * 10**8)", "output_limit"),
        ("print(", "runtime_error"),
    ],
)
def test_each_way_to_fail_has_its_word(sandbox: Sandbox, program: str, label: str) -> None:
    limits = SHORT if label == "timeout" else LIMITS
    score = CodeGrader(sandbox, limits=limits).score(THREE, python(program))
    assert (score.value, score.label) == (0.0, label)


@pytest.mark.alone
def test_all_tests_together_have_a_time_limit(sandbox: Sandbox) -> None:
    cases = tuple(StdioCase(str(n), "1") for n in range(50))
    check = CodeTests(language="python", cases=cases)
    slow = "import time\nwhile time.process_time() < 0.3: pass\nprint(1)"
    score = CodeGrader(sandbox, limits=Limits(cpu_s=1.0), total_cpu_s=1.0).score(check, python(slow))
    assert (score.value, score.label) == (0.0, "timeout")


@pytest.mark.alone
def test_each_call_has_its_own_time_limit_and_the_others_count(sandbox: Sandbox) -> None:
    cases = tuple(CallCase(f"[{n}]", str(n)) for n in range(3))
    check = CodeTests(language="python", cases=cases, entry="f")
    program = python("def f(n):\n    while n == 1: pass\n    return n")
    score = CodeGrader(sandbox, limits=SHORT, partial=True).score(check, program)
    assert (score.value, score.label) == (pytest.approx(2 / 3), "timeout")


@pytest.mark.parametrize("grow", [True, False])
def test_calls_that_share_a_process_have_the_limits_of_one_each(sandbox: Sandbox, grow: bool) -> None:
    limits = replace(LIMITS, memory_mib=128, output_kib=64)
    cases = tuple(CallCase("[9000]", json.dumps(list(range(9000)))) for _ in range(20))
    check = CodeTests(language="python", cases=cases, entry="f")
    grader = CodeGrader(sandbox, limits=limits, partial=not grow)
    assert grader.score(check, python("def f(n): return list(range(n))")).value == 1.0


def test_with_partial_credit_one_call_that_ends_the_process_costs_one(sandbox: Sandbox) -> None:
    cases = tuple(CallCase(f"[{n}]", str(n)) for n in range(10))
    check = CodeTests(language="python", cases=cases, entry="f")
    for fault in ("raise SystemExit", "import os; os._exit(0)"):
        program = python(f"def f(n):\n    if n == 1: {fault}\n    return n")
        assert CodeGrader(sandbox, limits=LIMITS, partial=True).score(check, program).value == pytest.approx(0.9)


def test_a_sleeper_uses_up_the_time_of_all_tests(sandbox: Sandbox, runs: list[str]) -> None:
    """Each case may wait 0.9 s, and all together 1.5 s."""
    check = CodeTests(language="python", cases=tuple(StdioCase("", "1") for _ in range(30)))
    grader = CodeGrader(sandbox, limits=Limits(cpu_s=0.3), partial=True, total_cpu_s=0.5)
    assert grader.score(check, python("import time; time.sleep(100)")).label == "timeout"
    assert len(runs) <= 2


@pytest.mark.parametrize(
    ("tests", "program", "value"),
    [
        ("def test_add():\n    assert add(1, 2) == 3", "def add(a, b): return 0", 0.0),
        ("def test_add():\n    assert add(1, 2) == 3", "def add(a, b): return a + b", 1.0),
        ("assert all(map(lambda x: add(x, 1) == x + 1, [1, 2]))", "def add(a, b): raise StopIteration", 0.0),
        ("try:\n    assert add(1, 2) == 3\nexcept BaseException: pass", "import os\ndef add(a, b): os._exit(0)", 0.0),
        ("assert list(add(1, 2)) == [1, 2]", "def add(a, b): yield a; yield b", 1.0),
        ("assert add(1, 2) == range(1, 2)", "def add(a, b): return range(a, b)", 1.0),
        ("import math\nassert add(1, 2) == 3", "class Solution:\n    def add(self, a: List, b): return 3",
         1.0),
    ],
)  # fmt: skip
def test_asserts_in_many_forms(sandbox: Sandbox, tests: str, program: str, value: float) -> None:
    check = CodeTests(language="python", cases=(AssertCase(tests),), entry="add")
    assert CodeGrader(sandbox, limits=LIMITS).score(check, python(program)).value == value


@pytest.mark.parametrize(
    "tests",
    [
        "import no_such_module\nassert f(1) == 1",
        "def test_g():\n    pass",
        "assert f(helper(1)) == 1",
        "raise SystemExit",
    ],
)
def test_asserts_that_fail_by_themselves_are_the_data_sets_fault(sandbox: Sandbox, tests: str) -> None:
    check = CodeTests(language="python", cases=(AssertCase(tests),), entry="f")
    with pytest.raises(UnscorableError, match="do not run"):
        CodeGrader(sandbox, limits=LIMITS).score(check, python("def f(x): return x\ndef helper(x): return x"))


@pytest.mark.parametrize(
    "line", ['{"n": Infinity}', '{"n": 0, "e": 5}', '{"n": 0, "v": {"int": 3}}', "[1]", '{"n": []}']
)
def test_forged_results_are_wrong_and_raise_nothing(sandbox: Sandbox, line: str) -> None:
    check = CodeTests(language="python", cases=(CallCase("[]", "3"),), entry="f")
    program = python(f"import os\nos.write(3, {line!r}.encode() + b'\\n')\ndef f(): os._exit(0)")
    assert CodeGrader(sandbox, limits=LIMITS).score(check, program).value == 0.0


def test_a_data_sets_own_checker_decides(sandbox: Sandbox) -> None:
    checker = "def check(stdin, expected, printed):\n    return sum(map(int, printed.split())) == int(stdin)\n"
    check = CodeTests(language="python", cases=(StdioCase("10", ""),), checker=checker)
    grader = CodeGrader(sandbox, limits=LIMITS)
    assert grader.score(check, python("print(4, 6)")).value == 1.0
    assert grader.score(check, python("print(4, 7)")).label == "wrong"
    assert grader.score(check, python("print('x')")).label == "wrong"


def test_broken_tests_are_the_data_sets_fault(sandbox: Sandbox) -> None:
    grader = CodeGrader(sandbox, limits=LIMITS)
    with pytest.raises(UnscorableError, match="do not run"):
        grader.score(CodeTests(language="python", cases=(AssertCase("assert ("),), entry="f"), python("f = 1"))
    broken = CodeTests(language="python", cases=(StdioCase("", ""),), checker="nothing = 1")
    with pytest.raises(UnscorableError, match="checker does not run"):
        grader.score(broken, python("print()"))


def test_the_expected_output_is_nowhere_in_the_programs_memory(sandbox: Sandbox) -> None:
    """The program reads all of its own memory, also what the zygote had seen of earlier jobs."""
    secret = "EXPECTED-" + "OUTPUT-77"
    program = """
import ctypes, gc, sys
needle = "".join(["EXPECTED", "-OUTPUT", "-77"])
found = []
for thing in gc.get_objects():
    try:
        if needle in repr(thing): found.append(type(thing).__name__)
    except Exception: pass
print("found" if [f for f in found if f not in ("dict", "list", "tuple", "cell", "function")] else "nothing")
"""
    check = CodeTests(language="python", cases=(StdioCase("", secret), StdioCase("", secret)))
    asserts = CodeTests(language="python", cases=(AssertCase(f"assert f() == '{secret}'"),), entry="f")
    grader = CodeGrader(sandbox, limits=LIMITS)
    grader.score(asserts, python("def f(): return 1"))
    grader.score(check, python("print(1)"))
    assert "nothing" in grader.score(check, python(program)).detail


CPP = CodeTests(language="cpp", cases=(StdioCase("1", "2"),))


@pytest.mark.needs("cpp")
def test_a_program_that_does_not_compile_has_the_compilers_words(sandbox: Sandbox) -> None:
    score = CodeGrader(sandbox, limits=LIMITS).score(CPP, "```cpp\nint main() { return y; }\n```")
    assert (score.value, score.label) == (0.0, "compile_error")
    assert "y" in score.detail
