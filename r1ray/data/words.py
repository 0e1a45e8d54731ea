"""Words of a text with their scripts, sentence by sentence. Linear time."""

from __future__ import annotations

import functools
import re
from typing import Final, TypeAlias

from r1ray.data.prose import prose

_LONG: Final = 40
"""Length above which words are not cached."""
Sentence: TypeAlias = list[tuple[str, str]]
"""Pairs of kind and word. A kind is the script, ``mixed`` (letters of several scripts) or ``symbol`` (a number, a unit,
a variable)."""

# Letters and combining marks of each script that separates words, without digits and punctuation.
SPACED: Final = {
    "latin": "A-Za-z\u00aa\u00ba\u00c0-\u00d6\u00d8-\u00f6\u00f8-\u02af\u1d00-\u1dbf\u1e00-\u1eff\u2c60-\u2c7f"
    "\ua720-\ua7ff\ufb00-\ufb06\uff21-\uff3a\uff41-\uff5a",
    "greek": "\u0370-\u037d\u037f-\u0386\u0388-\u03ff\u1f00-\u1ffe",
    "cyrillic": "\u0400-\u052f\u1c80-\u1c8f\u2de0-\u2dff\ua640-\ua69f",
    "armenian": "\u0531-\u0556\u0561-\u0588",
    "hebrew": "\u0591-\u05bd\u05bf-\u05c7\u05d0-\u05f4\ufb1d-\ufb4f",
    "arabic": "\u0610-\u061a\u0620-\u065f\u066e-\u06d3\u06d5-\u06ef\u06fa-\u06ff\u0750-\u077f\u08a0-\u08ff\ufb50-\ufdff"
    "\ufe70-\ufefc",
    "devanagari": "\u0900-\u0963\u0971-\u097f",
    "bengali": "\u0980-\u09e3\u09f0-\u09ff",
    "gurmukhi": "\u0a00-\u0a63\u0a70-\u0a7f",
    "gujarati": "\u0a80-\u0ae3\u0af0-\u0aff",
    "oriya": "\u0b00-\u0b63\u0b70-\u0b7f",
    "tamil": "\u0b80-\u0be5\u0bf0-\u0bff",
    "telugu": "\u0c00-\u0c63\u0c70-\u0c7f",
    "kannada": "\u0c80-\u0ce3\u0cf0-\u0cff",
    "malayalam": "\u0d00-\u0d63\u0d70-\u0d7f",
    "sinhala": "\u0d80-\u0de5\u0df0-\u0dff",
    "georgian": "\u10a0-\u10ff\u1c90-\u1cbf",
    "ethiopic": "\u1200-\u135f\u1380-\u139f",
    "hangul": "\u1100-\u115e\u1161-\u11ff\u3131-\u3163\u3165-\u318e\uac00-\ud7a3",
}
# Scripts without spaces between words, with the number of words that a character counts as. A Chinese character counts
# as one English word. A kana is a syllable; words of Thai, Lao, Burmese and Khmer have about four characters.
UNSPACED: Final = {
    "han": ("\u3005-\u3007\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff", 1.0),
    "kana": ("\u3041-\u309f\u30a1-\u30fa\u30fc-\u30ff\u31f0-\u31ff\uff66-\uff9f", 0.5),
    "thai": ("\u0e01-\u0e3e\u0e40-\u0e4e", 0.25),
    "lao": ("\u0e81-\u0ecf\u0edc-\u0edf", 0.25),
    "burmese": ("\u1000-\u103f\u1050-\u109f", 0.25),
    "khmer": ("\u1780-\u17d3\u17dc-\u17dd", 0.25),
}


def _set_of(text: str) -> frozenset[str]:
    return frozenset(text.split())


# Latin letters that are words of no language: units, functions, names of letters. A single letter is never a word.
_SYMBOLS: Final = _set_of(
    """
    mm cm dm km nm mg kg ml mL dL kL Hz kHz MHz GHz kW kWh eV kJ kPa mol rad deg ms min max sin cos tan cot sec csc
    arcsin arccos arctan sinh cosh tanh log ln lg exp lim mod gcd lcm det dim ker sqrt frac sup inf arg alpha beta
    gamma delta theta lambda sigma omega phi pi dx dy dt xy yz xz ab bc ac pH vs etc eq Eq
    """
)

_LETTERS: Final = "".join(SPACED.values())
_MARKS: Final = "\u0300-\u036f"
_INVISIBLE: Final = dict.fromkeys(map(ord, "\u00ad\u200b\u200c\u200d\u200e\u200f\u2060\u2061\u2062\u2063\u2064\ufeff"))

# Each quantifier that could give characters back is possessive, so that no alternative backtracks.
_TOKEN: Final = re.compile(
    r"(?P<stop>[.!?;\n\u3002\uff01\uff1f\uff1b\u0964\u061f\u06d4]+)"
    r"|(?P<symbol>(?:https?://|www\.)[!-~]++|</?[A-Za-z][A-Za-z0-9_-]{0,30}/?>|<\|[^<>|\n]{1,40}\|>|\\[A-Za-z]++"
    r"|[0-9]++(?:[.,][0-9]++)*+[A-Za-z0-9_]*+|[A-Za-z]*+_[A-Za-z0-9_]*+|[A-Za-z]++[0-9][A-Za-z0-9_]*+"
    r"|[\u2100-\u214f\U0001d400-\U0001d7ff]++)|"
    + "|".join(
        f"(?P<{script}>[{letters}][{letters}{_MARKS}]*+(?![{_LETTERS}])"
        f"(?:['\u2019][{letters}{_MARKS}]++(?![{_LETTERS}]))?+)"
        for script, letters in SPACED.items()
    )
    + "|"
    + "|".join(f"(?P<{script}>[{letters}]++)" for script, (letters, _) in UNSPACED.items())
    + f"|(?P<mixed>[{_LETTERS}][{_LETTERS}{_MARKS}]*+|[^\\W\\d_])"
)


def sentences_of(text: str) -> list[Sentence]:
    """Return the words of a text outside code and formulae, in order. The last sentence may be empty."""
    sentences: list[Sentence] = [[]]
    sentence = sentences[0]
    for match in _TOKEN.finditer(prose(text).translate(_INVISIBLE)):
        kind, word = match.lastgroup or "", match[0]
        if kind != "stop":
            sentence.append((_kind(kind, word) if len(word) < _LONG else _kind.__wrapped__(kind, word), word))
        elif sentence:
            sentence = []
            sentences.append(sentence)
    return sentences


@functools.lru_cache(maxsize=1 << 15)
def _kind(kind: str, word: str) -> str:
    """Return the script of a word, or ``symbol`` for other texts: one letter, a unit, an abbreviation, a camelCase
    name."""
    if kind in UNSPACED or kind == "hangul":
        return kind
    if len(word) == 1 or (kind in ("greek", "mixed") and len(word) <= 2):
        return "symbol"
    if kind == "latin" and (word in _SYMBOLS or (word.isupper() and len(word) <= 4) or _is_camel_case(word)):
        return "symbol"
    return kind


def _is_camel_case(word: str) -> bool:
    return word[0].islower() and not word.islower() and word.isascii()
