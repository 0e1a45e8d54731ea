"""Test code in the language of the program, as in MultiPL-E (Cassano et al. 2022). It is joined with the program so
that a word is printed if and only if every assertion held.

The tests of MultiPL-E go below a function that a base model completes, so they begin by closing it. A chat model gives
the whole function or class, so that brace is dropped, and the class's own brace is found again. Assertions that need a
debug build or a flag (``assert`` in Java, ``Debug.Assert`` in C#) become calls that are always active.
"""

from __future__ import annotations

import re
from collections.abc import Callable

_CLASS = re.compile(r"\bclass\s+Problem\b")
_JAVA_IMPORTS = "import java.util.*;\nimport java.util.function.*;\nimport java.util.stream.*;\nimport java.math.*;\n"
_CSHARP_IMPORTS = "".join(
    f"using {name};\n"
    for name in (
        "System",
        "System.Numerics",
        "System.Diagnostics",
        "System.Collections.Generic",
        "System.Linq",
        "System.Text",
    )
)


def with_tests(language: str, program: str, tests: str, word: str) -> str:
    """Return the program with its tests, which prints ``word`` as its last line if all of them pass.

    >>> print(with_tests("javascript", "function f() { return 1; }", "if (f() !== 1) throw 1;", "ok"))
    function f() { return 1; }
    if (f() !== 1) throw 1;
    console.log("ok");
    """
    return _JOINERS[language](program, tests, word)


def native_languages() -> frozenset[str]:
    """Return the languages that can have such tests. Python has its own way."""
    return frozenset(_JOINERS)


def _javascript(program: str, tests: str, word: str) -> str:
    return f'{program.rstrip()}\n{tests.rstrip()}\nconsole.log("{word}");'


def _php(program: str, tests: str, word: str) -> str:
    opened = program if "<?php" in program else f"<?php\n{program}"
    return f'{opened.rstrip().removesuffix("?>")}\n{tests.rstrip()}\necho "\\n{word}\\n";'


def _bash(program: str, tests: str, word: str) -> str:
    held = _without_brace(tests)
    held = held if "set -e" in held else f"set -e\n{held}"
    return f"{program.rstrip()}\n{held.rstrip()}\nprintf '\\n%s\\n' {word}\n"


def _cpp(program: str, tests: str, word: str) -> str:
    body, brace, rest = _without_brace(tests).rpartition("}")
    said = f'    std::printf("\\n{word}\\n");\n'
    return f"#undef NDEBUG\n#include <cassert>\n#include <cstdio>\n{program.rstrip()}\n{body}{said}{brace}{rest}"


def _java(program: str, tests: str, word: str) -> str:
    checked = re.sub(r"\bassert\s*\(", "R1rayTests.check(", _without_brace(tests))
    opened = _opened_class(program, _JAVA_IMPORTS).replace("public class Problem", "class Problem")
    return (
        f"{opened}\n{checked}\n"
        "class R1rayTests {\n"
        "    static void check(boolean held) { if (!held) throw new AssertionError(); }\n"
        "}\n"
        "class Main {\n"
        "    public static void main(String[] args) throws Exception {\n"
        f'        Problem.main(args);\n        System.out.println("\\n{word}");\n'
        "    }\n}\n"
    )


def _csharp(program: str, tests: str, word: str) -> str:
    checked = _without_brace(tests).replace("Debug.Assert(", "R1rayTests.Check(")
    body, end_of_main, rest = _before_last_but_one(checked)
    said = f'    System.Console.WriteLine("\\n{word}");\n'
    return (
        f"{_opened_class(program, _CSHARP_IMPORTS)}\n{body}{said}{end_of_main}{rest}\n"
        "static class R1rayTests {\n"
        '    public static void Check(bool held) { if (!held) throw new System.Exception("test failed"); }\n'
        "}\n"
    )


def _opened_class(program: str, imports: str) -> str:
    """Return the program up to the closing brace of its class. A bare method is put into a class of that name."""
    if _CLASS.search(program):
        return program[: program.rindex("}")] if "}" in program else program
    return f"{imports}class Problem {{\n{program}"


def _without_brace(tests: str) -> str:
    """Return the tests without the brace that closes the function under test."""
    stripped = tests.lstrip()
    return stripped[1:].lstrip("\n") if stripped.startswith("}") else tests


def _before_last_but_one(tests: str) -> tuple[str, str, str]:
    """Return the text before the brace that closes ``Main``, that brace, and the rest with the brace of the class."""
    head, brace, rest = tests.rpartition("}")
    body, end_of_main, between = head.rpartition("}")
    return body, end_of_main, between + brace + rest


_JOINERS: dict[str, Callable[[str, str, str], str]] = {
    "bash": _bash,
    "cpp": _cpp,
    "csharp": _csharp,
    "java": _java,
    "javascript": _javascript,
    "php": _php,
    "typescript": _javascript,
}
