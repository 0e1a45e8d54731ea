"""Test modules for pytest, without what only pytest knows: the sandbox calls every ``test_`` function by itself."""

from __future__ import annotations

import ast

from r1ray.data.checks import UnusableRow

_OURS = ("solution", "main", "your_module", "candidate")
"""Modules that stand for the response."""


def without_pytest(source: str) -> str:
    """Return test code without its imports of the solution.

    Raises:
        UnusableRow: it needs pytest itself.

    >>> print(without_pytest("from solution import f\\n\\ndef test_f():\\n    assert f(1) == 2"))
    <BLANKLINE>
    <BLANKLINE>
    def test_f():
        assert f(1) == 2
    """
    if "import" not in source:
        return source
    try:
        tree = ast.parse(source)
    except (RecursionError, SyntaxError, ValueError):
        return source  # the sandbox says what is wrong with it
    lines = source.split("\n")
    for node in tree.body:
        if isinstance(node, ast.Import | ast.ImportFrom) and _modules(node) & set(_OURS):
            for number in range(node.lineno - 1, node.end_lineno or node.lineno):
                lines[number] = ""
        elif isinstance(node, ast.Import | ast.ImportFrom) and _modules(node) & {"pytest"}:
            raise UnusableRow("its tests need pytest, which the sandbox does not have")
    return "\n".join(lines)


def _modules(node: ast.Import | ast.ImportFrom) -> set[str]:
    if isinstance(node, ast.ImportFrom):
        return {(node.module or "").split(".")[0]}
    return {name.name.split(".")[0] for name in node.names}
