"""The program in a response. Linear time."""

from __future__ import annotations

import re

from r1ray.reward.extract import after_think, answer_section
from r1ray.sandbox.languages import LANGUAGES

MAX_CHARACTERS = 200_000
_FENCE = re.compile(r"^ {0,3}(`{3,})[ \t]*([^\s`]*)[^`\n]*$", re.MULTILINE)

_NAME = re.compile(r"[{.]*([a-z]+[+#]*)")
"""The language in ``python3.11``, ``{.python}``, ``cpp17``, ``python:main.py``."""


def fenced_blocks(text: str) -> list[tuple[str, str]]:
    """Language name (lower case) and content of each closed Markdown fence, in order.

    >>> fenced_blocks("a\\n```python\\nprint(1)\\n```\\n```\\nopen")
    [('python', 'print(1)\\n')]
    """
    blocks: list[tuple[str, str]] = []
    opened: tuple[str, str, int] | None = None
    for fence in _FENCE.finditer(text):
        ticks, name = fence[1], fence[2].lower()
        named = _NAME.match(name)
        if opened is None:
            opened = (ticks, named[1] if named else name, fence.end() + 1)
        elif len(ticks) >= len(opened[0]) and not name:
            blocks.append((opened[1], text[opened[2] : fence.start()]))
            opened = None
    return blocks


def extract_program(text: str, language: str) -> str | None:
    """What is run of a response, None where it holds no program.

    Only what follows the reasoning counts, and of it only ``<answer>`` where there is one: the last closed fence that
    names the language, else the last one that names none. A response without any fence is a program as it stands.
    """
    final = after_think(text)
    section = answer_section(final)
    final = final if section is None else section
    if "```" not in final:
        return final if final.strip() and len(final) <= MAX_CHARACTERS else None
    names = {language, *LANGUAGES[language].fences}
    blocks = fenced_blocks(final)
    for wanted in (names, {""}):
        found = [body for name, body in blocks if name in wanted]
        if found:
            return found[-1] if found[-1].strip() and len(found[-1]) <= MAX_CHARACTERS else None
    return None
