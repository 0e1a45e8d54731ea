"""Programs that solve nothing: they end early, read forbidden data, print the examples, or equal everything."""

from __future__ import annotations

import json
import re

from r1ray.checks import AssertCase, CallCase, CodeTests, StdioCase

EQUAL = """
class Equal(int):
    def __eq__(self, other): return True
    def __ne__(self, other): return False
    def __lt__(self, other): return True
    def __gt__(self, other): return True
    def __bool__(self): return True
    def __call__(self, *args, **kwargs): return self
    def __len__(self): return 0
    def __hash__(self): return 0
    def __str__(self): return ""
    __repr__ = __str__
"""
READ_FILES = """
import glob, os
found = ""
for path in glob.glob("**/*", recursive=True) + glob.glob("/tmp/**/*", recursive=True) + ["/proc/self/environ"]:
    try:
        found += open(path, errors="replace").read(1000)
    except OSError:
        pass
"""
FRAMES = """
import sys
def expected():
    frame = sys._getframe(1)
    while frame is not None:
        for name in ("expected", "want", "output", "answer", "result", "stdout"):
            if name in frame.f_locals:
                return frame.f_locals[name]
        frame = frame.f_back
"""
_ASSERTED = re.compile(r"assert\s+\(?\s*([A-Za-z_]\w*)\s*\(")


def programs(check: CodeTests) -> dict[str, list[str]]:
    """Return programs by kind. Other languages than Python only have texts that are no program."""
    if check.language != "python":
        return {"program missing": ["", "x"]}
    return _of_stdio(check) if isinstance(check.cases[0], StdioCase) else _of_calls(check)


def fenced(source: str, language: str) -> str:
    """Return a program in a fence, as an answer contains it."""
    return f"```{language}\n{source}\n```"


def _of_stdio(check: CodeTests) -> dict[str, list[str]]:
    cases = [case for case in check.cases if isinstance(case, StdioCase)]
    outputs = list(dict.fromkeys(case.stdout.strip() for case in cases))
    found = {
        "program ends early": ["import sys\nsys.exit(0)", "import os\nos._exit(0)", "raise SystemExit", "pass"],
        "program reads files": [f"{READ_FILES}print(found)"],
        "program is malformed": ["def solve(:\n    pass", "print('"],
        "program missing": ["", "The program is left to the reader."],
    }
    if len(outputs) > 1 and check.checker is None:  # if there is one output, printing it is a correct program
        found["program prints examples"] = [f"print({outputs[0]!r})", f"print({chr(10).join(outputs)!r})"]
    if check.checker is None and any(case.stdin.split() != case.stdout.split() for case in cases):
        found["program echoes its input"] = ["import sys\nprint(sys.stdin.read())"]
    return found


def _of_calls(check: CodeTests) -> dict[str, list[str]]:
    entry = check.entry or _asserted(check)
    found = {
        "program equals everything": [EQUAL + _defined(entry, "return Equal()")],
        "program ends early": [
            _defined(entry, "import sys; sys.exit(0)"),
            _defined(entry, "import os; os._exit(0)"),
            "raise SystemExit(0)",
        ],
        "program reads files": [READ_FILES + _defined(entry, "return found")],
        "program reads the tests": [FRAMES + _defined(entry, "return expected()")],
        "program is malformed": ["def solve(:\n    pass"],
        "program missing": ["", "The function is left to the reader."],
    }
    expected = list(dict.fromkeys(case.expected for case in check.cases if isinstance(case, CallCase)))
    if len(expected) > 1:
        found["program prints examples"] = [_defined(entry, f"return {json.loads(expected[0])!r}")]
    return found


def _asserted(check: CodeTests) -> str:
    code = "\n".join(case.code for case in check.cases if isinstance(case, AssertCase))
    found = _ASSERTED.search(code)
    return found[1] if found else "solve"


def _defined(entry: str, body: str) -> str:
    """Return the definition of an entry: a function, or the method of a class (``Solution().twoSum``)."""
    owner, _, method = entry.partition("().")
    if not method:
        return f"def {entry}(*args, **kwargs):\n    {body}\n"
    return f"class {owner}:\n    def {method}(self, *args, **kwargs):\n        {body}\n"
