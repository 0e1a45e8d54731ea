"""The files that hold the whole idea stay short enough to be read in an hour."""

from __future__ import annotations

import ast
import io
import tokenize
from pathlib import Path

ROOT = Path(__file__).parents[2] / "r1ray"
CONTROLLER = "loop/controller.py"
IDEA = (
    *("types.py", "interfaces.py", CONTROLLER),
    *("algo/advantage.py", "algo/ratio.py", "algo/surrogate.py", "algo/grpo.py"),
)
NOT_CODE = {
    *(tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT),
    *(tokenize.ENCODING, tokenize.ENDMARKER),
}


def code_lines(source: str) -> int:
    """Return how many lines have code: docstrings, comments and blank lines are none."""
    docstrings: set[int] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
            docstrings.update(range(node.lineno, (node.end_lineno or node.lineno) + 1))
    code: set[int] = set()
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type not in NOT_CODE:
            code.update(range(token.start[0], token.end[0] + 1))
    return len(code - docstrings)


def test_only_code_is_counted() -> None:
    source = '''"""Module.

More.
"""

X = "a" + \\
    "b"  # two lines of code


def f():
    """It."""
    # a reason
    return (
        1
    )
'''
    assert code_lines(source) == 2 + 1 + 3


def test_the_controller_is_the_order_of_a_step() -> None:
    assert code_lines((ROOT / CONTROLLER).read_text()) <= 170


def test_the_idea_can_be_read_in_an_hour() -> None:
    lines = {name: code_lines((ROOT / name).read_text()) for name in IDEA}
    assert sum(lines.values()) <= 600, lines
