r"""Words around a value that do not change it: ``\text{The answer is } 7``, ``7 \text{ (since } 3+4=7)``."""

from __future__ import annotations

import re

_SAID = re.compile(r"\\text\{([A-Za-z ,:.]{2,60})\}\s*[:=]?\s*(?=[^\s,])")
_HARMLESS = """the a value answer result final correct is are equals hence thus so therefore we get have obtain required
desired solution total number probability"""
_SAYS_NOTHING = frozenset(_HARMLESS.split())
_MINUS = re.compile(r"^(?:\\text\{\s*(?:negative|minus)\s*\}\s*|(?:negative|minus)\s+|负\s*)(?=[0-9\\])")
_BECAUSE = re.compile(
    r"\s*,?\s*\(?\s*(?:\\text\{\s*,?\s*)?\(?\s*(?:(?<![A-Za-z])(?:since|because)(?![A-Za-z])|因为)(.*)$",
    re.DOTALL | re.IGNORECASE,
)
_RETRACTS = re.compile(
    r"\b(?:not|no|wrong|incorrect|false|or|either|but|instead|however|never)\b|n't|[不错非或误]", re.IGNORECASE
)


def without_words(text: str) -> str:
    r"""Return the text without words that announce or explain the value. ``negative`` before a number is a sign. Words
    that may take the value back are kept.

    >>> without_words(r"\text{So the answer is } 7 \text{ because } 3+4=7"), without_words(r"\text{not } 7")
    ('7', '\\text{not } 7')
    """
    if (said := _SAID.match(text)) and _SAYS_NOTHING.issuperset(re.findall("[a-z]+", said.group(1).lower())):
        text = text[said.end() :]
    return _MINUS.sub("-", _without_reason(text))


def _without_reason(text: str) -> str:
    if not any(word in text for word in ("ince", "ecause", "因为", "SINCE")):
        return text
    found = _BECAUSE.search(text)
    return text[: found.start()] if found and found.start() and not _RETRACTS.search(found.group(1)) else text
