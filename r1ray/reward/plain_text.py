"""Numbers in prose: a text without LaTeX, Markdown, list indices and labels, cut into tokens. Linear time."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass

MAX_DIGITS = 40
"""Most digits of a number; longer ones are not read."""

_CHARACTERS = str.maketrans(
    {chr(0xFF10 + digit): str(digit) for digit in range(10)}
    | dict.fromkeys("\u2212\u2010\u2011\u2012\u2013\uff0d", "-")
    | dict.fromkeys("\u00d7\u00b7\u22c5\u2217\u2715", "*")
    | dict.fromkeys("\u00f7\u2215\u2044", "/")
    | dict.fromkeys("\u2018\u2019", "'")
    | dict.fromkeys("\u3001\uff0c", ",")
    | dict.fromkeys("\u2192\u21d2\u27a1\uff1a", ":")
    | dict.fromkeys("\u2248\u2264\u2265\u223c\u2243\u2245\u00b1", "~")
    | dict.fromkeys("\u200b\u2060\ufeff", "")
    | {"\u3002": ".", "\uff1d": "=", "\uff1f": "?", "\uff01": "!", "\uff05": "%", "\uff0b": "+", "\u2260": " not "}
    | {"\u00b2": "^2", "\u00b3": "^3", "\u00b0": " "}
)
_MARKUP = tuple(
    (re.compile(pattern), replacement)
    for pattern, replacement in (
        (r"!=|=/=|<>|\\(?:not\s?=|neq?\b)", " not "),
        (r"[-=]{1,3}>", ":"),
        # A sign directly before markup belongs to the number. A space between them would make it a bullet.
        (r"(?<=-)\\[dt]?frac\s?\{([0-9]{1,40})\}\s?\{([0-9]{1,40})\}", r"\1/\2 "),
        (r"(?<=-)\\left\b", ""),
        (r"(?<=-)(?:\\[A-Za-z]{1,12}\s?\{|\\?\$|\*\*|[{\[])+(?=[0-9.])", ""),
        (r"</?[A-Za-z]{1,10}>", " "),
        (r"[<>]|\\(?:approx|sim|simeq|[lg]eq?|[lg]t|pm)\b", " ~ "),
        (r"\\[dt]?frac\s?\{([0-9]{1,40})\}\s?\{([0-9]{1,40})\}", r" \1/\2 "),
        (r"\\(?:times|cdot|ast)\b|(?<=[0-9])\s?[xX]\s?(?=[0-9])", " * "),
        (r"\\div\b", " / "),
        (r"(?<=[0-9])(?:\{,\}|\\[,!])(?=[0-9]{3})", ","),
        (r"\^\s?\{?\s?\\circ\b\}?", " "),
        (r"(?<=[0-9])\*\*(?=[0-9])", "^"),
        (r"\\%", "%"),
        (
            r"\\(?:f?boxed|[fmh]box|text(?:bf|it|rm)?|math(?:bf|rm|it)|emph|underline|bf|rm|left|right|displaystyle)\b",
            " ",
        ),
        (r"\\(?:[lr]?[Vv]ert\b|\|)", "|"),
        (r"\\(?:therefore|because|implies|to|[Rr]ightarrow|q?quad|[lc]?dots)\b", " "),
        (r"\\[A-Za-z]+", " \u221a "),
        (r"\\.|\*\*|__|[{}$`\[\]]", " "),
        (r"(?<!\w)_([^\s_]+)_(?!\w)", r"\1"),
        (r"\b([cmk]?m|ft|in|units?)\s{0,3}\^\s{0,3}[23]\b", r"\1"),
        (r"(?<![\w)*])\*(?=[^\s*])([^*\n]*)\*(?![\w(*])", r"\1"),
    )
)
r"""Replacements, in this order. Markup that only changes the look of a number becomes a space. ``\sqrt`` and other
commands that change its value become a root."""
_INDEX = re.compile(r"^[ \t]*(?:[-*+] )?([0-9]{1,2})[.)](?=[ \t]+(\S)|[ \t]*$)", re.MULTILINE)
_LABEL = re.compile(
    r"((?:\b(?:step|part|question|problem|example|exercise|option)\s?)#?|#)[0-9]{1,3}(?=\s*(?:[:.),]|$))",
    re.IGNORECASE | re.MULTILINE,
)
_NUMBER = (
    r"(?<![A-Za-z0-9_])(?<![0-9][.:])"
    r"(?:(?:[0-9]{1,3}(?:,[0-9]{3})+(?![0-9])|[0-9]+)(?:\.[0-9]+)?|(?<!\.)\.[0-9]+)"
    r"(?:(?![A-Za-z0-9_]|[.:][0-9])|(?=(?:[cmk]m|k?g|mg|ml|ft|lbs?|oz|hrs?|mins?|secs?)\b))"
)
_TOKEN = re.compile(
    rf"(?P<number>{_NUMBER})|(?P<word>[A-Za-z0-9_]+(?:'[A-Za-z]+)?|[^\W\x00-\x7f]+)"
    r"|(?P<operator>[-+*/^()=])|(?P<end>[.!?])|(?P<mark>[^\w\s])"
)


@dataclass(frozen=True, slots=True)
class Token:
    """A number, a word, an operator of arithmetic, the end of a sentence, or another mark."""

    kind: str
    """``number``, ``odd`` (digits and no number: ``16th``, ``16:30``), ``word``, ``operator``, ``end`` or ``mark``."""
    text: str
    """Text of the token in lower case."""
    gap: str
    """White space in front of the token."""

    @property
    def is_quantity(self) -> bool:
        return self.kind in ("number", "odd")


def tokens_of(text: str) -> list[Token]:
    """Return the tokens of a text.

    >>> [token.text for token in tokens_of("1. $7 \\\\times 8 = 1,234$ **cookies**.")]
    ['7', '*', '8', '=', '1,234', 'cookies', '.']
    """
    plain, found, end = _without_markup(text), [], 0
    for match in _TOKEN.finditer(plain):
        kind, word = str(match.lastgroup), match.group()
        if (kind == "word" and _has_digits(word)) or (kind == "number" and len(word) > MAX_DIGITS):
            kind = "odd"
        found.append(Token(kind, word.lower(), plain[end : match.start()]))
        end = match.end()
    return found


def _has_digits(word: str) -> bool:
    """Return whether a word has a digit of any script, or a number written as one character."""
    return any(unicodedata.category(character) in ("Nd", "No") for character in word)


def _without_markup(text: str) -> str:
    """Return the text with one spelling of each sign, without markup, indices of lists and labels."""
    text = text.translate(_CHARACTERS)
    for pattern, replacement in _MARKUP:
        text = pattern.sub(replacement, text)
    text = _LABEL.sub(r"\1", text)
    pieces, end, expected = [], 0, 1
    for match in _INDEX.finditer(text):
        if int(match[1]) == expected and (expected > 1 or match[2]):  # "1." alone is an answer
            pieces.append(text[end : match.start()])
            end, expected = match.end(), expected + 1
    return "".join([*pieces, text[end:]])
