"""Texts on their way through Hydra, which has signs of its own in them.

A text that the user gives is taken as it stands, so that paths with any character need no quotes beside the shell's.
"""

from __future__ import annotations

import re

QUOTED = re.compile(r"""(["'])((?:(?!\1)[^\\]|\\.)*)\1""", re.DOTALL)


def unquoted(text: str) -> str:
    r"""Return what a text in Hydra's quotes says; one without them is returned as it is.

    >>> unquoted("'a b'"), unquoted("a 'b'"), unquoted(r"'it\'s'")
    ('a b', "a 'b'", "it's")
    """
    found = QUOTED.fullmatch(text)
    if found is None:
        return text
    quote, inner = found[1], found[2]
    return re.sub(rf"\\+(?={quote}|\Z)", lambda slashes: "\\" * (len(slashes[0]) // 2), inner)


def quoted(text: str) -> str:
    r"""Return a text in quotes for Hydra: the inverse of :func:`unquoted`.

    >>> print(quoted("it's"), quoted("a\\"))
    'it\'s' 'a\\'
    """
    inner = re.sub(r"(\\*)'", lambda found: found[1] * 2 + r"\'", text)
    return "'" + re.sub(r"\\+\Z", lambda slashes: slashes[0] * 2, inner) + "'"
