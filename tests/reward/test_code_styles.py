"""Programs and tests as public data sets have them: what is right is paid, what only looks right is not."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from r1ray.checks import CodeTests
from r1ray.config import SandboxConfig
from r1ray.data.checks import dump_check, load_check, parse_check
from r1ray.errors import UserError
from r1ray.reward.accuracy import grader_of, open_sandbox
from r1ray.reward.code import CodeGrader
from r1ray.sandbox.packages import find_packages
from tests import tools

pytestmark = pytest.mark.needs("isolation")

LONG = 10**5000
ADD = "def add(a, b): return a + b"
SUBTRACT = "def add(a, b): return a - b"
FAST_OUTPUT = """
import os, sys
class Out:
    def __init__(self): self.parts = []
    def write(self, text): self.parts.append(text)
    def flush(self):
        os.write(1, "".join(self.parts).encode())
        self.parts.clear()
sys.stdout = Out()
print(int(input()) * 2)
"""
STACK = """
class Stack:
    def __init__(self, items=()): self.items = list(items)
    def push(self, item): self.items.append(item)
    def pop(self):
        if not self.items: raise EmptyError("empty")
        return self.items.pop()
    def __len__(self): return len(self.items)
    def __eq__(self, other): return isinstance(other, Stack) and self.items == other.items
    def __repr__(self): return f"Stack({self.items})"
class EmptyError(Exception): pass
"""
YES = """
class Yes:
    def __eq__(self, other): return True
    __lt__ = __gt__ = __le__ = __ge__ = __ne__ = __contains__ = __eq__
    def __sub__(self, other): return 0
    __rsub__ = __add__ = __abs__ = __sub__
    def __abs__(self): return 0
    def __float__(self): return 3.0
    __hash__ = None
"""
YES_ADD = f"{YES}\ndef add(a, b): return Yes()"
TREE = """
class Tree:
    def __init__(self, value, left=None, right=None):
        self.value, self.left, self.right = value, left, right
def same(a, b):
    return a is b or bool(a and b and a.value == b.value and same(a.left, b.left) and same(a.right, b.right))
"""
PYTEST = """
import pytest
from solution import add

@pytest.fixture
def three():
    yield 3

@pytest.mark.parametrize("a, b", [(1, 2), pytest.param(2, 1)])
def test_sum(a, b, three):
    assert add(a, b) == three

def test_near():
    assert add(0.1, 0.2) == pytest.approx(0.3)

class TestMore:
    def test_type(self):
        with pytest.raises(TypeError, match="unsupported"):
            add(1, None)
"""
UNITTEST = """
import unittest
class T(unittest.TestCase):
    def setUp(self): self.one = 1
    def test_a(self): self.assertEqual(add(self.one, 2), 3)
if __name__ == "__main__":
    unittest.main()
"""


def stdio(stdin: str, stdout: str, **more: Any) -> dict[str, Any]:
    return {"kind": "stdio", "tests": [{"stdin": stdin, "stdout": stdout}], **more}


def calls(entry: str, *pairs: tuple[list[Any], Any], **more: Any) -> dict[str, Any]:
    return {"kind": "func", "entry": entry, "tests": [{"args": a, "expected": e} for a, e in pairs], **more}


def asserts(test: str, entry: str | None = None, **more: Any) -> dict[str, Any]:
    return {"kind": "assert", "entry": entry, "tests": [test], **more}


WRAPPED = {"wrapped_results": True}
NEAR = {"float_tolerance": 1e-6}
DOUBLE = stdio("3\n", "6\n")
CASES: tuple[tuple[str, dict[str, Any], str, bool], ...] = (
    ("a wrapped result", calls("f", ([2], [1]), **WRAPPED), "def f(n): return 1", True),
    ("a wrapped list", calls("f", ([2], [[1, 2]]), **WRAPPED), "def f(n): return [1, 2]", True),
    ("a result as it stands", calls("f", ([2], [1]), **WRAPPED), "def f(n): return [1]", True),
    ("a wrapped result is wrong", calls("f", ([2], [1]), **WRAPPED), "def f(n): return 2", False),
    ("a list is not wrapped", calls("f", ([2], [1])), "def f(n): return 1", False),
    ("a whole number for a decimal", calls("f", ([2], 2.0)), "def f(n): return 2", True),
    ("a decimal for a whole number", calls("f", ([2], [3, 3])), "def f(n): return [3.0, 3]", True),
    ("nearly a third", calls("f", ([3], 0.3333333333), **NEAR), "def f(n): return 1 / n", True),
    ("nearly a whole number", calls("f", ([3], 3), **NEAR), "def f(n): return 2.9999999999", True),
    ("another big number", calls("f", ([3], 10**9), **NEAR), "def f(n): return 10.0**9 + 1", False),
    ("a third is printed", stdio("3", "0.333333333333", **NEAR), "print('%.8f' % (1 / int(input())))", True),
    ("6.0 for 6", stdio("3", "6", **NEAR), "print(float(input()) * 2)", True),
    ("6.1 for 6", stdio("3", "6", **NEAR), "print(6.1)", False),
    ("7 for 6", stdio("3", "6", float_tolerance=2), "print(7)", False),
    ("nan for a checker", stdio("", "2", checker="def check(i, e, p): return not abs(float(p) - 2) > 1"),
     "print('nan')", False),
    ("a long number is printed", stdio("5000", f"1{'0' * 5000}"), "print(10 ** int(input()))", True),
    ("a long number is read", stdio("1" * 5000, "1"), "print(int(input()) % 10)", True),
    ("a long number is given and returned", calls("f", ([LONG], LONG + 1)), "def f(n): return n + 1", True),
    ("a long number is a key", calls("f", ([], {"1": 1})), "def f(): return {10**5000: 1}", False),
    ("a long number is the right key", calls("f", ([], {f"1{'0' * 5000}": 1})), "def f(): return {10**5000: 1}", True),
    ("output of a class with a global", DOUBLE, FAST_OUTPUT, True),
    ("a flush that fails", DOUBLE, FAST_OUTPUT.replace("os.write(1", "print(6) or os.write(77"), False),
    ("a larger stack", DOUBLE, "import resource as r\nr.setrlimit(r.RLIMIT_STACK, (-1, -1))\nprint(6)", True),
    ("more CPU time", DOUBLE, "import resource as r\nr.setrlimit(r.RLIMIT_CPU, (-1, -1))\nprint(6)", False),
    ("five megabytes", stdio("", "x" * 4_900_000), "print('x' * 4_900_000)", True),
    ("pytest", asserts(PYTEST), ADD, True),
    ("pytest, wrong", asserts(PYTEST), SUBTRACT, False),
    ("pytest, nothing raised", asserts(PYTEST), "def add(a, b): return a + (b or 0)", False),
    ("unittest", asserts(UNITTEST, "add"), ADD, True),
    ("unittest, wrong", asserts(UNITTEST), SUBTRACT, False),
    ("imports of the solution", asserts("from solution import add as plus\nimport solution\n"
     "assert plus(1, 2) == solution.add(2, 1) == 3", "add"), ADD, True),
    ("math without an import", asserts("assert math.isclose(add(1, 2), 3)"), ADD, True),
    ("a class of the program", asserts("s = Stack()\ns.push(3)\nassert len(s) == 1 and s.items == [3]\n"
     "assert s.pop() == 3 and isinstance(s, Stack)\nassert Stack([1]) == Stack([1])\n"
     "assert str(Stack([1])) == 'Stack([1])'"), STACK, True),
    ("a class of the program, wrong", asserts("s = Stack()\ns.push(3)\nassert s.pop() == 3"),
     STACK.replace(".pop()", ".pop() + 1"), False),
    ("an exception of the program", asserts("try:\n    Stack().pop()\nexcept EmptyError: pass\nelse: assert False"),
     STACK, True),
    ("another exception", asserts("try:\n    Stack().pop()\nexcept EmptyError: pass\nelse: assert False"),
     STACK.replace("EmptyError(\"empty\")", "ValueError"), False),
    ("attributes of an object", asserts("root = Node(1)\nroot.left = Node(2)\nassert depth(root) == 2"),
     "class Node:\n    def __init__(self, v): self.v = v; self.left = None\n"
     "def depth(n): return 0 if n is None else 1 + depth(n.left)", True),
    ("a class of the tests", asserts(f"{TREE}\ndef check(candidate):\n    assert same(candidate(Tree(1, Tree(2))),"
     " Tree(1, None, Tree(2)))", "flip"),
     "class Solution:\n    def flip(self, t: Optional[Tree]) -> Optional[Tree]:\n"
     "        return t and Tree(t.value, self.flip(t.right), self.flip(t.left))", True),
    ("a class of the tests, wrong", asserts(f"{TREE}\ndef check(candidate):\n    assert same(candidate(Tree(1, Tree(2))"
     "), Tree(1, None, Tree(2)))", "flip"), "def flip(t): return t", False),
    ("a helper of the prompt", asserts("def check(candidate): assert candidate(up(1)) == 1", "down",
     starter="def up(n):\n    return n + 1\n\ndef down(n):\n    '''Undo up.'''\n"), "def down(n): return n - 1", True),
    ("the body alone", asserts("def check(candidate): assert candidate(2) == 1", "down",
     starter="import math\ndef down(n):\n"), "    return math.floor(n - 1)", True),
    *((f"an object that says yes: {test}", asserts(test, entry), YES_ADD, False)
      for entry in (None, "add")
      for test in ("assert add(1, 2) == 3", "assert 3 == add(1, 2)", "assert not add(1, 2) != 3",
                   "assert abs(add(1, 2) - 3) < 1e-6", "assert add(1, 2) < 4", "import math\n"
                   "assert math.isclose(add(1, 2), 3)", "assert add(1, 2) in (3, 4)",
                   "import unittest\nclass T(unittest.TestCase):\n    def test(self): self.assertEqual(add(1, 2), 3)",
                   "import pytest\ndef test_add(): assert add(1, 2) == pytest.approx(3)")),
)  # fmt: skip


@pytest.fixture(scope="module")
def grader() -> Iterator[CodeGrader]:
    config = SandboxConfig(cpu_s=20.0)
    with open_sandbox(config) as sandbox:
        yield grader_of(config, sandbox)


@pytest.mark.parametrize(("check", "program", "right"), [case[1:] for case in CASES], ids=[case[0] for case in CASES])
def test_right_programs_are_paid_and_others_are_not(
    grader: CodeGrader, check: dict[str, Any], program: str, right: bool
) -> None:
    tests = parse_check({"type": "code", "language": "python", **check})
    assert isinstance(tests, CodeTests)
    score = grader.score(tests, f"```python\n{program}\n```")
    assert (score.value == 1.0) is right, score.detail


@pytest.mark.needs("java")
@pytest.mark.parametrize(
    "head", ["public class Solution", "package a.b;\n// class X\nclass A {}\nfinal public class B"]
)
def test_a_java_class_may_have_any_name(grader: CodeGrader, head: str) -> None:
    check = parse_check({"type": "code", "language": "java", **DOUBLE})
    assert isinstance(check, CodeTests)
    body = "{ public static void main(String[] a) { System.out.println(6); } }"
    assert grader.score(check, f"```java\n{head} {body}\n```").value == 1.0


@pytest.mark.parametrize("mode", ["bubblewrap", "landlock"])
def test_packages_that_are_allowed_can_be_imported_and_no_others(mode: str) -> None:
    tools.require(mode)
    config = SandboxConfig(mode=mode, packages=["numpy"])
    with open_sandbox(config) as sandbox:
        made = grader_of(config, sandbox)
        check = parse_check({"type": "code", "language": "python", **DOUBLE})
        assert isinstance(check, CodeTests)
        program = "import numpy as np\nx = np.ones((300, 300))\nprint(int((x @ x)[0, 0] / 100 * int(input())) - 3)"
        assert made.score(check, f"```python\n{program}\n```").value == 1.0
        for module in ("omegaconf", "sympy"):
            assert "ModuleNotFoundError" in made.score(check, f"```python\nimport {module}\nprint(6)\n```").detail


def test_a_package_that_is_missing_is_named() -> None:
    with pytest.raises(UserError, match=r"sandbox.packages=\['no-such-thing'\]: no-such-thing is not installed"):
        find_packages(["no-such-thing"])


def test_what_a_package_requires_comes_with_it() -> None:
    found = find_packages(["sympy"])
    assert {"sympy", "mpmath"} <= {path.name for path in found.paths} and found.modules == ("sympy",)


def test_a_check_with_long_numbers_survives_its_file() -> None:
    row = {"type": "code", **calls("f", ([LONG], LONG))}
    check = parse_check(row)
    assert load_check(dump_check(check)) == check
