"""Preparation of Java programs, whose class may have any name and package, for one file called Main.java."""

from __future__ import annotations

import re

_NO_CODE = re.compile(r'//[^\n]*|/\*.*?\*/|"""(?:\\.|.)*?"""|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\'', re.DOTALL)
_PACKAGE = re.compile(r"^[ \t]*package[ \t]+[\w.]+[ \t]*;", re.MULTILINE)
_TYPE = re.compile(r"(\bpublic\s+)?((?:(?:abstract|final|sealed|strictfp)\s+)*(?:class|interface|enum|record)\s+(\w+))")
_MAIN = re.compile(r"\bstatic\s+(?:final\s+)?void\s+main\s*\(")


def runnable(source: str) -> str:
    """Return the program with a class ``Main`` that starts it.

    >>> print(runnable("public class Solution { public static void main(String[] a) {} }"))
    class Solution { public static void main(String[] a) {} }
    class Main { public static void main(String[] args) throws Throwable { Solution.main(args); } }
    """
    source = _edited(source, [found.span() for found in _PACKAGE.finditer(_bare(source))])
    bare = _bare(source)
    types = [found for found in _TYPE.finditer(bare) if _depth(bare, found.start()) == 0]
    source = _edited(source, [found.span(1) for found in types if found[1] and found[3] != "Main"])
    main = _MAIN.search(bare)
    owners = [found[3] for found in types if main is not None and found.start() < main.start()]
    if not owners or any(found[3] == "Main" for found in types):
        return source
    start = f"class Main {{ public static void main(String[] args) throws Throwable {{ {owners[-1]}.main(args); }} }}"
    return f"{source.rstrip()}\n{start}"


def _bare(source: str) -> str:
    """Return the source with blanks in place of comments and strings."""
    return _NO_CODE.sub(lambda found: re.sub(r"[^\n]", " ", found[0]), source)


def _depth(bare: str, end: int) -> int:
    return bare.count("{", 0, end) - bare.count("}", 0, end)


def _edited(source: str, spans: list[tuple[int, int]]) -> str:
    for start, end in reversed(spans):
        source = source[:start] + source[end:]
    return source
