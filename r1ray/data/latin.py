"""Languages in Latin letters, told apart by the statistics of py3langid.

    words --_evidence--> [W, L] --windows of five--> [N, L] --states, one path--> a language for each word

py3langid's evidence for a language adds up over words, so each word is looked up once. Evidence of five words means
something, that of one word almost nothing: a window keeps the language of its neighbours unless its evidence is clearly
for another one. Besides languages there are two states: ``zxx``, which py3langid has learned from text that is no
language, and ``unknown``, for words without evidence for any particular language, such as invented ones.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float32]


def _set_of(text: str) -> frozenset[str]:
    return frozenset(text.split())


TARGETS: Final = _set_of(
    "af az bs ca cs cy da de en eo es et eu fi fr ga gl hr ht hu id is it la lb lt lv mg ms mt nl nn no oc pl pt ro "
    "rw sk sl sn so sq st sv sw tk tl tr uz vi xh zu"
)
"""Languages that can be targets."""
_OTHERS: Final = _set_of(
    "ace an bcl br crh ext fo fuv fy gcf gd gug guw ha ig jv kab kik ku lg lij ln nso om pcm qu se vec vo wa yo zxx"
)
_SAME: Final = {"nb": "no", "fil": "tl", "in": "id"}
NO_LANGUAGE: Final = ("zxx", "unknown")
WINDOW: Final = 5
MAX_LETTERS: Final = 32
"""Number of letters of a word that are used."""
BLOCK: Final = 4000
"""Number of words that are judged together. Longer texts are judged in pieces."""
_KNOWN: Final = 3.5
"""Evidence for each word from which on words belong to some language. It is about 6 for English, 10 for others, 2 for
invented words."""
_CLEARLY: Final = 1.2
"""Evidence for each word that a sentence needs for a language that is not expected."""
_CLEAR: Final = 8.0
"""Total evidence that it needs for that."""
_SWITCH, _SWITCH_INSIDE = 6.0, 12.0
"""Costs, as evidence, of a change of language between sentences and inside a sentence."""


@dataclass(frozen=True, slots=True)
class _Model:
    languages: tuple[str, ...]
    table: npt.NDArray[np.float16]  # [F, L] log-probability of each feature
    step: object
    rows: object
    features: object


@functools.cache
def _model() -> _Model:
    from py3langid.langid import MODEL_FILE, LanguageIdentifier  # loads a model, which only Latin letters need

    full = LanguageIdentifier.from_model_file(MODEL_FILE)
    columns = [i for i, name in enumerate(full.nb_classes) if name in TARGETS or name in _OTHERS]
    names = tuple(full.nb_classes[i] for i in columns)
    return _Model(names, full.nb_ptc[:, columns], full.tk_nextmove, full._rowbase, full.tk_output)


@functools.lru_cache(maxsize=1 << 15)
def _evidence(word: str) -> bytes:
    """Return the evidence of a word for each language against the median language, [L] float32. It is returned as
    bytes, which are joined faster than arrays."""
    from py3langid.langid import visit_counts

    model = _model()
    text = f" {word} ".encode("utf8", "surrogatepass")
    counts = visit_counts(model.step, model.rows, model.features, text)
    if not counts:
        return np.zeros(len(model.languages), np.float32).tobytes()
    features = np.fromiter(counts.keys(), dtype=np.intp, count=len(counts))
    times = np.log1p(np.fromiter(counts.values(), dtype=np.float32, count=len(counts)))
    scores = times @ model.table[features].astype(np.float32)
    return bytes((scores - np.median(scores)).astype(np.float32).tobytes())


def code_of(language: str) -> str:
    """Return py3langid's code of a language."""
    return _SAME.get(language, language)


def best_language(words: Sequence[str], languages: Sequence[str]) -> str:
    """Return the language with the most evidence in words in Latin letters; English, if it is a candidate and the
    evidence is weak.

    >>> best_language(["Wie", "viele", "Zahlen"], ["en", "de", "fr"])
    'de'
    """
    names = _model().languages
    total_L = _evidence_of(words).sum(axis=0)
    return max(languages, key=lambda language: float(total_L[names.index(language)]) + _SWITCH * (language == "en"))


def _evidence_of(words: Sequence[str]) -> FloatArray:
    """Return the evidence of each word for each language, [W, L] float32."""
    joined = b"".join(_evidence(word.lower()[:MAX_LETTERS]) for word in words)
    return np.frombuffer(joined, dtype=np.float32).reshape(len(words), len(_model().languages))


def latin_languages(
    sentences: Sequence[Sequence[str]], *, likely: Sequence[str], english_votes: Sequence[int] | None = None
) -> list[list[str]]:
    """Return the language of each word, or one of :data:`NO_LANGUAGE`.

    Args:
        sentences: words in Latin letters; a sentence may be empty.
        likely: expected languages. Others need clear evidence.
        english_votes: votes of each sentence's function words, above 0 for English and below 0 against it.
    """
    votes = english_votes or [0] * len(sentences)
    found: list[list[str]] = []
    first = size = 0
    for number, sentence in enumerate((*sentences, None)):
        if sentence is None or (size and size + len(sentence) > BLOCK):
            found += _block(sentences[first:number], likely, votes[first:number])
            first, size = number, 0
        size += len(sentence or ())
    return found


def _block(sentences: Sequence[Sequence[str]], likely: Sequence[str], votes: Sequence[int]) -> list[list[str]]:
    words = [word for sentence in sentences for word in sentence]
    if not words:
        return [[] for _ in sentences]
    names = _model().languages
    evidence_WL = _evidence_of(words)
    lengths = [len(sentence) for sentence in sentences if sentence]
    starts, is_first = _windows(lengths)
    sizes_N = np.diff([*starts, len(words)])
    evidence_NL = np.add.reduceat(evidence_WL, starts, axis=0)
    english = names.index("en")
    share_N = np.repeat(
        [vote / length for vote, length in zip([v for s, v in zip(sentences, votes, strict=True) if s], lengths,
                                               strict=True)], _counts(is_first))  # fmt: skip
    evidence_NL[:, english] += 1.5 * share_N * sizes_N
    states = _states(evidence_NL, np.flatnonzero(is_first), np.array(lengths), likely)
    scores_NS = np.concatenate(
        [evidence_NL[:, [names.index(state) for state in states]], _KNOWN * sizes_N[:, None]], axis=1
    )
    path = _best_path(scores_NS, [_SWITCH if first else _SWITCH_INSIDE for first in is_first])
    labels = iter(np.repeat([(*states, "unknown")[state] for state in path], sizes_N).tolist())
    return [[next(labels) for _ in sentence] for sentence in sentences]


def _windows(lengths: Sequence[int]) -> tuple[list[int], list[bool]]:
    """Return the start of each window of about five words, and whether a sentence starts there."""
    starts, is_first, begin = [], [], 0
    for length in lengths:
        number = max(1, length // WINDOW)
        starts += [begin + length * i // number for i in range(number)]
        is_first += [True] + [False] * (number - 1)
        begin += length
    return starts, is_first


def _counts(is_first: Sequence[bool]) -> list[int]:
    """Return the number of windows of each sentence."""
    edges = [i for i, first in enumerate(is_first) if first]
    return [after - before for before, after in zip(edges, [*edges[1:], len(is_first)], strict=True)]


def _states(
    evidence_NL: FloatArray, firsts: npt.NDArray[np.intp], lengths: npt.NDArray[np.intp], likely: Sequence[str]
) -> list[str]:
    """Return the possible languages of words: the likely ones, those with clear evidence in a sentence or in the whole
    text, and text that is no language."""
    names = _model().languages
    expected = [code for code in dict.fromkeys(map(code_of, likely)) if code in names]
    of_expected = [names.index(code) for code in expected]
    sentence_SL = np.add.reduceat(evidence_NL, firsts, axis=0)
    long = lengths >= WINDOW - 1
    rows = np.concatenate([sentence_SL[long], sentence_SL.sum(axis=0, keepdims=True)])
    sizes = np.concatenate([lengths[long], [lengths.sum()]])
    best = rows.argmax(axis=1)
    margin = rows[np.arange(len(rows)), best] - rows[:, of_expected].max(axis=1)
    clear = best[margin > np.maximum(_CLEARLY * sizes, _CLEAR)]
    return list(dict.fromkeys([*expected, "zxx", *(names[i] for i in np.unique(clear))]))


def _best_path(scores_NS: FloatArray, switch: Sequence[float]) -> list[int]:
    """Return the state of each window on the path with the largest evidence less the costs of its changes."""
    rows = scores_NS.tolist()
    totals, came_from = rows[0], []
    for row, cost in zip(rows[1:], switch[1:], strict=True):
        best = max(range(len(totals)), key=totals.__getitem__)
        changed = totals[best] - cost
        came_from.append([i if total >= changed else best for i, total in enumerate(totals)])
        totals = [max(total, changed) + score for total, score in zip(totals, row, strict=True)]
    path = [max(range(len(totals)), key=totals.__getitem__)]
    for back in reversed(came_from):
        path.append(back[path[-1]])
    return path[::-1]
