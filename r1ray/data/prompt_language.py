"""The language of a question, one of the languages of a data set.

    question --sentences_of--> words without code and formulae --script, then statistics--> language

The script decides if it can. Languages in Latin letters are told apart by function words if those are clearly English,
and else by py3langid.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Final

from r1ray.data.function_words import english_votes
from r1ray.data.latin import TARGETS, best_language, code_of
from r1ray.data.words import UNSPACED, Sentence, sentences_of
from r1ray.errors import UserError

_LANGUAGES_OF_LABEL: Final = {
    "en": "en",
    "zh": "zh",
    "ja": "ja",
    "hangul": "ko",
    "greek": "el",
    "cyrillic": "ru uk be bg mk sr kk ky mn tg tt",
    "armenian": "hy",
    "hebrew": "he yi",
    "arabic": "ar fa ur ps sd ug ckb",
    "devanagari": "hi mr ne sa",
    "bengali": "bn as",
    "gurmukhi": "pa",
    "gujarati": "gu",
    "oriya": "or",
    "tamil": "ta",
    "telugu": "te",
    "kannada": "kn",
    "malayalam": "ml",
    "sinhala": "si",
    "georgian": "ka",
    "ethiopic": "am ti",
    "thai": "th",
    "lao": "lo",
    "burmese": "my",
    "khmer": "km",
}
LABEL_OF_LANGUAGE: Final = {
    language: label for label, languages in _LANGUAGES_OF_LABEL.items() for language in languages.split()
}
"""Languages that can be targets, with the labels of their words."""


LANGUAGES: Final = ("en", "zh", "ja", "ko", "de", "fr", "es", "pt", "fi", "ru", "ar", "hi")
"""Languages that a data set is assumed to have if nothing gives them."""
UNTOLD: Final = "en"
"""Language of a question without words."""
KANA_TO_HAN: Final = 8
"""Number of Chinese characters for each kana up to which a text is Japanese."""
MAX_CHARACTERS: Final = 4000
"""Number of characters of a question that are used."""


def short_code(language: str) -> str:
    """Return the language without its region: ``zh-Hant-TW`` and ``zh_CN`` are ``zh``."""
    return language.strip().lower().replace("_", "-").split("-", 1)[0]


def is_known(language: str) -> bool:
    """Return whether a language can be told from others."""
    code = short_code(language)
    return code in LABEL_OF_LANGUAGE or code_of(code) in TARGETS


def known_languages(languages: Sequence[str] | None) -> Sequence[str]:
    """Return the languages of ``data.languages``, or the default twelve. Raises UserError for a language that cannot be
    told from others."""
    for language in languages or ():
        if not is_known(language):
            known = ", ".join(sorted({*LABEL_OF_LANGUAGE, *TARGETS}))
            raise UserError(
                f"data.languages: {language!r} is no language that can be told by its words; needs {known}."
            )
    return languages or LANGUAGES


def prompt_language(text: str, languages: Sequence[str] = LANGUAGES) -> str:
    """Return the language of a text: one of ``languages``, or another one if none of them has its script.

    >>> prompt_language("What is the sum of $a$ and $b$?"), prompt_language("\u591a\u5c11?")
    ('en', 'zh')
    """
    sentences = sentences_of(text[:MAX_CHARACTERS])
    sizes: defaultdict[str, float] = defaultdict(float)
    for sentence in sentences:
        for kind, word in sentence:
            if kind not in ("symbol", "mixed"):
                sizes[kind] += len(word) * UNSPACED[kind][1] if kind in UNSPACED else 1.0
    if sizes["han"] or sizes["kana"]:
        is_japanese = sizes["kana"] / UNSPACED["kana"][1] * KANA_TO_HAN > sizes["han"]
        sizes["ja" if is_japanese else "zh"] = sizes.pop("han", 0.0) + sizes.pop("kana", 0.0)
    label = max(sizes, key=sizes.__getitem__, default="")
    if not label or not sizes[label]:
        return UNTOLD
    if label == "latin":
        return _latin_language(sentences, languages)
    of_script = _LANGUAGES_OF_LABEL[label].split()
    return next((each for each in languages if short_code(each) in of_script), of_script[0])


def _latin_language(sentences: Sequence[Sentence], languages: Sequence[str]) -> str:
    candidates = [each for each in languages if code_of(short_code(each)) in TARGETS]
    if not candidates:
        return UNTOLD
    if len(candidates) == 1:
        return candidates[0]
    words = [word for sentence in sentences for kind, word in sentence if kind == "latin"]
    votes = [english_votes(sentence) for sentence in sentences]
    is_english = sum(votes) >= 2 and min(votes) >= 0 and 3 * sum(votes) >= len(words)
    if is_english and "en" in candidates:
        return "en"
    found = best_language(words, [code_of(short_code(each)) for each in candidates])
    return next(each for each in candidates if code_of(short_code(each)) == found)
