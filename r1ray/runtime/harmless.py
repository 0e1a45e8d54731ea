"""Text that a model wrote, on its way to a terminal."""

from __future__ import annotations

import re

_CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
"""Characters by which a text moves the cursor, changes the title or the order of what is shown, but for newline and
tabulator."""


def harmless(text: str) -> str:
    r"""Return a text with control characters as their escapes.

    >>> harmless("\x1b[2Jok\r\n")
    '\\x1b[2Jok\\x0d\n'
    """
    return _CONTROL.sub(_escape, text)


def _escape(found: re.Match[str]) -> str:
    code = ord(found[0])
    return f"\\x{code:02x}" if code < 256 else f"\\u{code:04x}"


def in_one_line(text: str, *, length: int) -> str:
    """Return the beginning of a text as one harmless line of at most ``length`` characters.

    >>> in_one_line("a\\n b  c", length=4)
    'a...'
    """
    line = harmless(" ".join(text[: 8 * length].split()))
    return line if len(line) <= length else line[: max(0, length - 3)] + "..."
