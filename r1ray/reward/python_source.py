"""Python code of a data set around the program of a response: code that the prompt shows or the tests define.

Only the data set's own code is parsed here. A response's code is read line by line.
"""

from __future__ import annotations

import ast
import re
import textwrap

_TEST_MODULES = frozenset({"pytest", "unittest", "solution", "main", "your_module", "candidate"})


def completed(program: str, starter: str, entry: str | None) -> str:
    """Return the program. If it is only the body of the prompt's last function, the prompt's code is put before it.

    >>> print(completed("return a + b", "def add(a, b):", "add"))
    def add(a, b):
        return a + b
    """
    name = _function(entry)
    if not name or re.search(rf"^[ \t]*(?:async[ \t]+)?(?:def[ \t]+{name}\b|{name}[ \t]*=|class[ \t])", program, re.M):
        return program
    last = _parsed(starter).body[-1:]
    if not last or not isinstance(last[0], ast.FunctionDef) or last[0].name != name:
        return program
    body = textwrap.dedent(program).strip("\n")
    return f"{starter.rstrip()}\n{textwrap.indent(body, '    ')}"


def definitions(starter: str, entry: str | None) -> str:
    """Return the definitions in the prompt's code other than the entry.

    >>> definitions("import math\\ndef f():\\n    pass", "f")
    'import math'
    """
    name = _function(entry)
    nodes = _parsed(starter).body
    return "\n".join(
        ast.unparse(node)
        for node in nodes
        if isinstance(node, ast.Import | ast.ImportFrom | ast.FunctionDef | ast.ClassDef | ast.Assign)
        and getattr(node, "name", None) not in (name, "Solution")
    )


def shared_classes(tests: str) -> str:
    """Return the classes that tests define and pass to the program, with the imports that they need."""
    if "class " not in tests:
        return ""
    nodes = _parsed(tests).body
    classes = [node for node in nodes if isinstance(node, ast.ClassDef) and not _is_test(node)]
    if not classes:
        return ""
    imports = [n for n in nodes if isinstance(n, ast.Import | ast.ImportFrom) and not _modules(n) & _TEST_MODULES]
    return "\n".join(map(ast.unparse, [*imports, *classes]))


def _parsed(code: str) -> ast.Module:
    """Return the tree of a data set's code, which may end with the head of a function; an empty one if it has none."""
    for form in (code, f"{code.rstrip()}\n    pass"):
        try:
            return ast.parse(form)
        except (MemoryError, RecursionError, SyntaxError, ValueError):
            continue
    return ast.Module(body=[], type_ignores=[])


def _function(entry: str | None) -> str:
    return "" if entry is None else entry.split(".")[-1].removesuffix("()")


def _is_test(node: ast.ClassDef) -> bool:
    return node.name.startswith("Test") or any("TestCase" in ast.unparse(base) for base in node.bases)


def _modules(node: ast.Import | ast.ImportFrom) -> set[str]:
    names = [node.module or ""] if isinstance(node, ast.ImportFrom) else [name.name for name in node.names]
    return {name.split(".")[0] for name in names}
