r"""Removal of code and formulae from a text. Linear time."""

from __future__ import annotations

import re
from typing import Final

# Each quantifier that could give characters back is possessive, so that no alternative backtracks.
_SPAN: Final = re.compile(
    r"^[ \t]*+(?P<fence>```+|~~~+)(?P<info>[^\n`]*)$"
    r"|(?P<ticks>`+)|(?P<dollars>\${1,2})|\\(?P<bracket>[()\[\]])|\\(?P<edge>begin|end)\{(?P<name>[A-Za-z]{1,30}\*?)\}"
    r"|\\{1,2}boxed[ ]?(?P<box>\{)|(?P<brace>[{}])|(?P<blank>\n[ \t]*+\n)|\\.",
    re.MULTILINE,
)


def prose(text: str) -> str:
    r"""Return the text without code and formulae. Each is replaced by a 0, so that the texts around it are not joined.

    Removed are fenced blocks (to the end of the text if no fence closes them), code between backticks, ``$..$``,
    ``$$..$$``, ``\(..\)``, ``\[..\]``, ``\begin{x}..\end{x}`` and ``\boxed{..}``. An opening that is never closed is
    text. A dollar sign is a price by pandoc's rule: one with a space before it or a digit after it closes nothing.
    """
    tokens = list(_SPAN.finditer(text))
    closers = _closers(tokens, text)
    pieces, start, index = [], 0, 0
    while index < len(tokens):
        closer = closers[index]
        if closer is None:
            index += 1
            continue
        pieces += [text[start : tokens[index].start()], " 0 "]
        start = tokens[closer].end() if closer < len(tokens) else len(text)
        index = closer + 1
    return "".join((*pieces, text[start:]))


def _closers(tokens: list[re.Match[str]], text: str) -> list[int | None]:
    """Return for each token the index of the token that closes it: the number of tokens if the end of the text closes
    it, None if it opens nothing. Takes one pass from the end."""
    closers: list[int | None] = [None] * len(tokens)
    inline: dict[str, int] = {}  # the next closing token in this paragraph
    anywhere: dict[str, int] = {}  # the next closing token in the text
    braces: list[int] = []  # closing braces whose opening one has not been reached
    for index in range(len(tokens) - 1, -1, -1):
        token = tokens[index]
        if fence := token["fence"]:
            mark = fence[0]
            closers[index] = anywhere.get(mark, len(tokens))
            if not token["info"].strip():
                anywhere[mark] = index
            inline.clear()
            braces.clear()
        elif ticks := token["ticks"]:
            closers[index] = inline.get(ticks)
            inline[ticks] = index
        elif dollars := token["dollars"]:
            before, after = text[max(token.start() - 1, 0) : token.start()], text[token.end() : token.end() + 1]
            if dollars == "$$" or (after and not after.isspace()):
                closers[index] = inline.get(dollars)
            inline.pop(dollars, None)
            if dollars == "$$" or not (before.isspace() or after.isdigit()):
                inline[dollars] = index
        elif bracket := token["bracket"]:
            if bracket in ")]":
                anywhere[bracket] = index
            else:
                closers[index] = anywhere.get(")" if bracket == "(" else "]")
        elif name := token["name"]:
            if token["edge"] == "end":
                anywhere["end " + name] = index
            else:
                closers[index] = anywhere.get("end " + name)
        elif token["brace"] == "}":
            braces.append(index)
        elif token["box"] or token["brace"]:
            closer = braces.pop() if braces else None
            closers[index] = closer if token["box"] else None
        elif token["blank"]:
            inline.clear()
            braces.clear()
    return closers
