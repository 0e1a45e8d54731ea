r"""Words of a text for comparisons, and 64-bit hashes of its n-grams. Linear time.

Case, punctuation, white space, Markdown emphasis, and the spacing and sizing of LaTeX are ignored. A number is a word,
including the operator before it: ``24a+4`` is ``24``, ``a``, ``+4``, whatever its spacing. Beside words of two letters
or more, operators are dashes and bullets, and are ignored. In scripts without spaces between words, each character is a
word.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from functools import lru_cache
from hashlib import blake2b
from typing import Final, TypeAlias

import numpy as np
import numpy.typing as npt

UInt64Array: TypeAlias = npt.NDArray[np.uint64]

_UNSPACED: Final = "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3005-\u30ff\u3400-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
_LETTER: Final = f"[^\\W\\d_{_UNSPACED}]"
_OPERATORS: Final = "-+/^=<>\u2264\u2265\u2260\u00b1"
_SIGNS: Final = str.maketrans(dict.fromkeys("\u2010\u2011\u2012\u2013\u2212", "-") | {"\u2044": "/"})
_NOTHING: Final = re.compile(  # each begins with the removed text, so that the search is by one set of characters
    r"(?:,(?<=\d,)|\{,\}(?<=\d\{,\})|\\,(?<=\d\\,))(?=\d{3}(?!\d))"  # thousands
    f"|['\u2019](?<={_LETTER}['\u2019])(?={_LETTER})"
    "|[\u00ad\u200b-\u200f\u2060-\u2064\ufeff]"
)
_SPACE: Final = re.compile(
    r"\\(?:left|right|bigg?[lr]?|displaystyle|text(?:bf|it|rm|style)?|math(?:rm|bf|it|sf)|operatorname|q?quad)(?![a-z])"
    r"|\\[^a-z]|[\\*$_&~`(){}\[\]]"
)
_AFTER_WORD: Final = re.compile(
    f"[{_OPERATORS}](?:(?<={_LETTER}{_LETTER}[{_OPERATORS}])|(?<={_LETTER}{_LETTER} [{_OPERATORS}]))[ {_OPERATORS}]*+"
)
_WORD: Final = re.compile(
    f"{_LETTER}{{2,}}+|[{_OPERATORS}]{{0,2}}(?:\\d++(?:\\.\\d+)*+|{_LETTER}(?!{_LETTER}))|[{_UNSPACED}]"
)
_MULTIPLIER: Final = np.uint64(0x9E3779B97F4A7C13)
"""Multiplier, 3 modulo 8: its powers differ by few factors of 2, which would make n-grams with words in another order
collide."""


def words(text: str) -> list[str]:
    r"""Return the words of a text, in order.

    >>> words("**What** is $24a + 4$, when a=1,000?") == words(r"what is \(24a+4\) when \,a = 1000")
    True
    >>> words("24a+4"), words("well-known; \u4f60\u597d\uff01")
    (['24', 'a', '+4'], ['well', 'known', '\u4f60', '\u597d'])
    """
    if not text.isascii():
        text = unicodedata.normalize("NFKC", text).translate(_SIGNS)
    text = " ".join(_SPACE.sub(" ", _NOTHING.sub("", text.lower())).split())
    text = _AFTER_WORD.sub(" ", text)
    for operator in _OPERATORS:
        text = text.replace(f"{operator} ", operator)
    return _WORD.findall(text)


@lru_cache(maxsize=1 << 20)
def _hash(word: str) -> int:
    return int.from_bytes(blake2b(word.encode(), digest_size=8).digest(), "little")


def ngram_hashes(words: Sequence[str], n: int) -> UInt64Array:
    """Return a 64-bit hash of each n-gram, in order [W - n + 1]; the same in every process. Two given n-grams that
    differ share a hash with a probability of about 2**-60."""
    num = max(len(words) - n + 1, 0)
    hashes = np.fromiter(map(_hash, words), dtype=np.uint64, count=len(words))
    mixed = np.zeros(num, dtype=np.uint64)
    for start in range(n):
        mixed = mixed * _MULTIPLIER + hashes[start : start + num]
    mixed ^= mixed >> np.uint64(32)
    return mixed * _MULTIPLIER
