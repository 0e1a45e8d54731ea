"""Extraction of the program in a response. Linear time."""

from __future__ import annotations

import re

from r1ray.reward.extract import after_think, answer_section
from r1ray.sandbox.languages import LANGUAGES

MAX_CHARACTERS = 200_000
_FENCE = re.compile(r"^([ \t]*)(?:(`{3,})[ \t]*([^\s`]*)[^`\n]*|(~{3,})[ \t]*(\S*).*)$", re.MULTILINE)

_NAME = re.compile(r"[{.]*([a-z]+[+#]*)")
"""The language in ``python3.11``, ``{.python}``, ``cpp17``, ``python:main.py``."""


def fenced_blocks(text: str) -> list[tuple[str, str]]:
    """Return the language name (lower case) and content of each closed Markdown fence, in order, without the
    indentation of a fence in a list.

    >>> fenced_blocks("a\\n```python\\nprint(1)\\n```\\n```\\nopen")
    [('python', 'print(1)\\n')]
    """
    blocks: list[tuple[str, str]] = []
    opened: tuple[str, str, int, int] | None = None
    for fence in _FENCE.finditer(text):
        indent, marks, name = len(fence[1]), fence[2] or fence[4], (fence[3] or fence[5] or "").lower()
        named = _NAME.match(name)
        if opened is None:
            opened = (marks, named[1] if named else name, fence.end() + 1, indent)
        elif marks.startswith(opened[0]) and not name and indent <= opened[3] + 3:
            blocks.append((opened[1], _dedented(text[opened[2] : fence.start()], opened[3])))
            opened = None
    return blocks


def _dedented(body: str, indent: int) -> str:
    return re.sub(rf"^[ \t]{{1,{indent}}}", "", body, flags=re.MULTILINE) if indent else body


def extract_program(text: str, language: str) -> str | None:
    """Return the program in a response; None if there is none.

    Only the text after the reasoning counts, and only ``<answer>`` within it if there is one. The program is the last
    closed fence that names the language, else the last one that names none. Fences with only comments, such as usage
    examples, come last. A response without any fence is itself the program.
    """
    final = after_think(text)
    section = answer_section(final)
    final = final if section is None else section
    if "```" not in final and "~~~" not in final:
        return final if final.strip() and len(final) <= MAX_CHARACTERS else None
    names = {language, *LANGUAGES[language].fences}
    blocks = fenced_blocks(final)
    for wanted in (names, {""}):
        found = [body for name, body in blocks if name in wanted]
        found = [body for body in found if _has_code(body, language)] or found
        if found:
            return found[-1] if found[-1].strip() and len(found[-1]) <= MAX_CHARACTERS else None
    return None


def _has_code(body: str, language: str) -> bool:
    comments = ("#", ">>>", "...") if language == "python" else ("//",)
    lines = (line.strip() for line in body.splitlines())
    return any(line and not line.startswith(comments) for line in lines)
