r"""Language consistency reward: the share of target-language words in the reasoning (paper section 2.3.2).

    response --spoken_text--> what is outside <answer> --classify_words--> words with labels --language_share--> share

Words are told apart by script if possible. Languages that share another script (Russian and Ukrainian, Arabic and
Persian) count as one. Words in Latin letters are told apart in windows of five, and words of no language belong to none
(:mod:`r1ray.data.latin`). tests/reward/data/README.md has the measured accuracy. All functions take linear time.
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
"""Number of different words of the target language below which the reward is 0."""
_SHORT_HAN: Final = 5
_SYLLABLES: Final = re.compile(r"(.{1,4}?)\1{2,}.{0,3}")
"""A word that only repeats a syllable three times or more: ``lalalala``."""
_LONG_WORD: Final = 6
_NEAR: Final = 400
"""Number of preceding words in which three words in a row occurred twice if they are filler."""
_DISTINCT: Final = 0.9
"""Share of different triples of words from which on nothing counts as filler."""
_FILLED: Final = 3
"""The reward is at most the share of words that are no filler, times this."""
_RESTATED: Final = 4
"""The reward is at most the share of words that are not copied from the prompt, times this."""
Trigram = tuple[str, str, str]


class Word(NamedTuple):
    """A word, or a run of characters of a script without spaces."""

    text: str
    label: str
    """A language (``en``, ``zh``, ``ja``, others in Latin letters if they are told apart), ``latin`` (another language
    in Latin letters), ``unknown`` or ``zxx`` (of no language), ``han`` (too short to tell Chinese from Japanese), the
    script, ``mixed`` (letters of several scripts) or ``symbol`` (a number, a unit, a variable)."""
    size: float
    """Number of words that it counts as; 0 for symbols."""


def language_consistency(prompt: Prompt, response: Response) -> float:
    """Return the share of words outside ``<answer>`` that are in the language of the prompt, in [0, 1]. Reasoning with
    fewer than three different words of that language earns nothing. See :func:`language_share`.

    Reasoning that the model hides in code or formulae is not seen. The reward is meant to accompany accuracy, not to be
    a goal by itself.

    Raises:
        UnscorableError: the prompt's language cannot be measured.
    """
    problem = language_problem(prompt.language)
    if problem is not None:
        raise UnscorableError(problem)
    return _share(spoken_text(prompt, response) or "", prompt.language, given=prompt.text, least=MIN_WORDS)


def language_share(text: str, language: str) -> float:
    """Return the share of target-language words in a text.

    Filler is a word that occurs more than twice in a row, a word that only repeats a syllable, and three words in a row
    that occurred twice shortly before. Filler in the target language neither raises nor lowers the share; in another
    language it counts like other words. If more than two thirds of a text are filler, the reward falls in proportion.

    >>> language_share("We add 2 and 3 to get $x=5$.", "en"), language_share("2 + 3 = 5", "en")
    (1.0, 0.0)
    """
    return _share(text, language)


def language_problem(language: str) -> str | None:
    """Return the reason why a language cannot be the target of ``language_consistency``; None if it can.

    >>> language_problem("zh-TW") is None
    True
    """
    if is_known(language):
        return None
    known = sorted({*LABEL_OF_LANGUAGE, *TARGETS})
    return f"language {language!r}: language_consistency cannot tell it from others; needs one of {', '.join(known)}."


def _share(text: str, language: str, *, given: str = "", least: int = 1) -> float:
    """Return :func:`language_share`, reduced for text restated from ``given``; 0 below ``least`` different words."""
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
    """Return words, and the characters of scripts without spaces, in lower case."""
    units: list[str] = []
    for word in words:
        if _is_run(word):
            units.extend(word.text)
        else:
            units.append(word.text.lower())
    return units


def _shares(words: Sequence[Word], of_units: Sequence[bool]) -> Iterator[float]:
    """Yield for each word the share of its units whose flag is true."""
    start = 0
    for word in words:
        end = start + (len(word.text) if _is_run(word) else 1)
        yield sum(of_units[start:end]) / (end - start)
        start = end


def _fresh(units: Sequence[str]) -> list[bool]:
    """Return for each unit whether it is no filler."""
    said: dict[Trigram, tuple[int, int]] = {}  # last and last but one place at which three in a row ended
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
    """Return for each unit whether it is one of three in a row that the prompt has in a row, too."""
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
    """Return the words of a text outside code and formulae, in order, each with its label.

    Args:
        likely: candidate languages of words in Latin letters; if empty, function words tell English from the rest.

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
    """Return the words of one sentence. Chinese characters in a sentence with kana are Japanese."""
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
