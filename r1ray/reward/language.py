r"""Language consistency reward: the share of target-language words in the reasoning (paper section 2.3.2).

    response --spoken_text--> what is outside <answer> --classify_words--> words with labels --language_share--> share

Scripts tell words apart where they can; languages of one other script (Russian and Ukrainian, Arabic and Persian) count
as one. Words in Latin letters are told apart in windows of five, and those that are of no language are of none
(:mod:`r1ray.data.latin`). tests/reward/data/README.md has the measured accuracy. All of it takes linear time.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

from r1ray.data.function_words import english_votes
from r1ray.data.latin import TARGETS, code_of, latin_languages
from r1ray.data.prompt_language import KANA_TO_HAN, LABEL_OF_LANGUAGE, is_known, short_code
from r1ray.data.words import UNSPACED, Sentence, sentences_of
from r1ray.errors import UnscorableError
from r1ray.reward.format import spoken_text
from r1ray.types import Prompt, Response

MIN_WORDS: Final = 3
"""Different words of the target language below which nothing is paid."""
_SHORT_HAN: Final = 5
_SYLLABLES: Final = re.compile(r"(.{1,4}?)\1{2,}.{0,3}")
"""A word that is nothing but a syllable, three times or more: ``lalalala``."""
_LONG_WORD: Final = 6
_NEAR: Final = 400
"""Words back in which three in a row were said twice if they are filler."""
_DISTINCT: Final = 0.9
"""The share of different ones among three words in a row from which on nothing is filler."""
_FILLED: Final = 3
"""The share of words that are no filler, times this, is what is paid at most."""
_RESTATED: Final = 4
"""The share of words that are not the prompt's own, times this, is what is paid at most."""
Trigram = tuple[str, str, str]


class Word(NamedTuple):
    """A word, or a run of characters of a script without spaces."""

    text: str
    label: str
    """A language (``en``, ``zh``, ``ja``, others in Latin letters if they are told apart), ``latin`` (another language
    in Latin letters), ``unknown`` or ``zxx`` (of no language), ``han`` (too short to say if Chinese or Japanese), the
    script, ``mixed`` (letters of several scripts) or ``symbol`` (a number, a unit, a variable)."""
    size: float
    """How many words it counts as; 0 for symbols."""


def language_consistency(prompt: Prompt, response: Response) -> float:
    """Share of the words outside ``<answer>`` that are in the language of the prompt, in [0, 1]. Reasoning of fewer
    than three different words of it earns nothing. See :func:`language_share`.

    What the definition leaves open: reasoning that the model hides in code or formulae is not seen. The reward is a
    companion of accuracy, not a goal.

    Raises:
        UnscorableError: the prompt's language cannot be measured.
    """
    problem = language_problem(prompt.language)
    if problem is not None:
        raise UnscorableError(problem)
    return _share(spoken_text(prompt, response) or "", prompt.language, given=prompt.text, least=MIN_WORDS)


def language_share(text: str, language: str) -> float:
    """Share of target-language words in a text.

    A word that is said more than twice in a row, one that is a syllable said again and again, and three words in a row
    that were said twice not far before count as filler. Filler in the target language adds nothing and waters down
    nothing; in another one it counts as it stands. Text of which more than two thirds are filler is paid in proportion.

    >>> language_share("We add 2 and 3 to get $x=5$.", "en"), language_share("2 + 3 = 5", "en")
    (1.0, 0.0)
    """
    return _share(text, language)


def language_problem(language: str) -> str | None:
    """Why a language cannot be the target of ``language_consistency``; None where it can.

    >>> language_problem("zh-TW") is None
    True
    """
    if is_known(language):
        return None
    known = sorted({*LABEL_OF_LANGUAGE, *TARGETS})
    return f"language {language!r}: language_consistency cannot tell it from others; needs one of {', '.join(known)}."


def _share(text: str, language: str, *, given: str = "", least: int = 1) -> float:
    """:func:`language_share`, less what is restated from ``given``; 0 below ``least`` different words."""
    code = short_code(language)
    is_latin = code == "en" or code not in LABEL_OF_LANGUAGE
    target = code_of(code) if is_latin else LABEL_OF_LANGUAGE[code]
    wanted = {target, "han"} if target in ("zh", "ja") else {target}
    words = classify_words(text, likely=(target, "en") if is_latin else ())
    units = _units(words)
    trigrams = _trigrams_of(units)
    all_words = sum(word.size for word in words)
    sizes = [word.size for word in words]
    if len(trigrams) < _DISTINCT * (len(units) - 2):
        sizes = [word.size * share for word, share in zip(words, _shares(words, _fresh(units)), strict=True)]
    fresh = sum(sizes)
    on_target = sum(size for word, size in zip(words, sizes, strict=True) if word.label in wanted)
    counted = on_target + sum(word.size for word in words if word.label not in wanted)
    if not on_target or len({unit for word in words if word.label in wanted for unit in _units([word])}) < least:
        return 0.0
    own = 1.0
    if given and not trigrams.isdisjoint(known := _trigrams_of_text(given)):
        copied = _shares(words, _copied(units, known))
        own -= sum(word.size * share for word, share in zip(words, copied, strict=True)) / all_words
    return on_target / counted * min(1.0, _FILLED * fresh / all_words) * min(1.0, _RESTATED * own)


def _units(words: Sequence[Word]) -> list[str]:
    """Words, and the characters of scripts without spaces, in lower case."""
    units: list[str] = []
    for word in words:
        if _is_run(word):
            units.extend(word.text)
        else:
            units.append(word.text.lower())
    return units


def _shares(words: Sequence[Word], of_units: Sequence[bool]) -> Iterator[float]:
    """Yield the share of the units of each word for which something holds."""
    start = 0
    for word in words:
        end = start + (len(word.text) if _is_run(word) else 1)
        yield sum(of_units[start:end]) / (end - start)
        start = end


def _fresh(units: Sequence[str]) -> list[bool]:
    """Return of each unit if it is no filler."""
    said: dict[Trigram, tuple[int, int]] = {}  # where three in a row ended, the last time and the time before
    fresh = []
    first = second = ""
    times = 0
    for place, unit in enumerate(units):
        times = times + 1 if unit == second else 1
        last, before = said.get((first, second, unit), (-_NEAR, -_NEAR))
        said[first, second, unit] = place, last
        is_syllable = len(unit) >= _LONG_WORD and _SYLLABLES.fullmatch(unit) is not None
        fresh.append(times <= 2 and place - before >= _NEAR and not is_syllable)
        first, second = second, unit
    return fresh


def _copied(units: Sequence[str], given: frozenset[Trigram]) -> list[bool]:
    """Return of each unit if it stands among three that the prompt has in a row."""
    copied = [False] * len(units)
    for end, trigram in enumerate(zip(units, units[1:], units[2:], strict=False), start=3):
        if trigram in given:
            copied[end - 3 : end] = (True, True, True)
    return copied


def _trigrams_of(units: Sequence[str]) -> frozenset[Trigram]:
    return frozenset(zip(units, units[1:], units[2:], strict=False))


@functools.lru_cache(maxsize=256)
def _trigrams_of_text(text: str) -> frozenset[Trigram]:
    return _trigrams_of(_units(classify_words(text)))


def classify_words(text: str, *, likely: Sequence[str] = ()) -> list[Word]:
    """The words of a text outside code and formulae, in order, each with its label.

    Args:
        likely: languages by which words in Latin letters are told apart; none: English and the rest, by function words.

    >>> [(word.text, word.label) for word in classify_words("We add cm. \u6240\u4ee5 x")]
    [('We', 'en'), ('add', 'en'), ('cm', 'symbol'), ('\u6240\u4ee5', 'han'), ('x', 'symbol')]
    """
    sentences = sentences_of(text)
    votes = [english_votes(sentence) for sentence in sentences]
    text_vote = sum(votes)
    if likely:
        latin = [[word for kind, word in sentence if kind == "latin"] for sentence in sentences]
        found = latin_languages(latin, likely=likely, english_votes=votes)
    else:
        found = [
            ["en" if (vote or text_vote) >= 0 else "latin"] * len(s) for s, vote in zip(sentences, votes, strict=True)
        ]
    return [
        word
        for sentence, languages in zip(sentences, found, strict=True)
        for word in _labelled(sentence, iter(languages))
    ]


def _labelled(sentence: Sentence, latin: Iterator[str]) -> list[Word]:
    """The words of one sentence. Chinese characters in a sentence with kana are Japanese."""
    num_kana = sum(len(word) for kind, word in sentence if kind == "kana")
    num_han = sum(len(word) for kind, word in sentence if kind == "han")
    chinese = "ja" if num_kana * KANA_TO_HAN > num_han else "zh" if num_han > _SHORT_HAN else "han"
    names = {"han": chinese, "kana": "ja"}
    words = []
    for kind, word in sentence:
        if kind == "latin":
            words.append(Word(word, next(latin), 1.0))
        elif kind == "symbol":
            words.append(Word(word, kind, 0.0))
        else:
            size = len(word) * UNSPACED[kind][1] if kind in UNSPACED else 1.0
            words.append(Word(word, names.get(kind, kind), size))
    return words


def _is_run(word: Word) -> bool:
    return word.label in UNSPACED or word.label in ("zh", "ja")


def _size(kind: str, word: str) -> float:
    if kind == "symbol":
        return 0.0
    return len(word) * UNSPACED[kind][1] if kind in UNSPACED else 1.0
