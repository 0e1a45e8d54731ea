"""Requests that are too simple for a chain of thought (paper section 2.3.3: "hello")."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from r1ray.curation.words import words

GREETINGS: Final = (
    r"(?:hi|hello|hey|yo|howdy|greetings)(?: there| again| everyone| all)?",
    r"good (?:morning|afternoon|evening|night|day)",
    r"(?:hi|hello|hey)[ ,]+(?:how are you(?: doing)?(?: today)?|what'?s up)",
    r"how are you(?: doing)?(?: today)?|what'?s up|how'?s it going|nice to meet you",
    r"(?:many )?thanks(?: a lot| so much)?|thank you(?: very much| so much)?|thx|ok(?:ay)?|great|cool|got it",
    r"(?:good ?)?bye(?: bye)?|see you(?: later| soon| tomorrow)?|have a (?:nice|good) (?:day|evening|weekend)",
    r"(?:你|您|大家)好[啊呀吗]?|嗨|哈[喽啰罗]|在吗|早(?:上好|安)?|(?:中午|下午|晚上)好|晚安",
    r"(?:非常|多)?(?:感谢|谢谢)(?:你|您|大家)?[啦了]?|多谢|好的?[啊吧]?|再见|拜拜|明天见|回头见",
)
"""Pattern of greetings, thanks and farewells, in lower case."""
_EDGES: Final = re.compile(r"^\W+|\W+$")


def is_trivial(request: str, *, max_words: int = 0, patterns: Sequence[str] | None = None) -> bool:
    """Return whether a request needs no reasoning by these rules: it has at most ``max_words`` words, or one of the
    patterns matches it from end to end. Case and surrounding punctuation or emoji are ignored.

    Args:
        max_words: limit in words as counted by :func:`r1ray.curation.words.words`.
        patterns: regular expressions; None: ``GREETINGS``.

    >>> is_trivial("Hello!"), is_trivial("\u4f60\u597d\uff01"), is_trivial("Hello, what is a monad?")
    (True, True, False)
    >>> is_trivial("Why?", max_words=1), is_trivial("ping", patterns=["ping|pong"])
    (True, True)
    """
    if max_words and len(words(request)) <= max_words:
        return True
    bare = " ".join(_EDGES.sub("", request).lower().split())
    return any(re.fullmatch(pattern, bare, re.IGNORECASE) for pattern in (GREETINGS if patterns is None else patterns))
