"""Detection of training texts that contain a benchmark's question, by n-grams of words, as in GPT-3's analysis (Brown
et al. 2020, appendix C). The words are those of ``r1ray.curation.words``, where numbers and operators count.

A question shorter than an n-gram is searched as a whole; one that is too short to differ from ordinary text is counted
but not searched. The index holds 13 bytes for each n-gram. Hits are not verified against the text: with 10**7 n-grams
of questions and 10**9 of training texts, one false hit is expected in a hundred runs or fewer.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np

from r1ray.curation.words import UInt64Array, ngram_hashes, words
from r1ray.types import BoolArray, Int32Array

_MAX_EXAMPLES: Final = 5


class Overlap(NamedTuple):
    """A question that a text contains, completely or in part."""

    benchmark: str
    id: str
    share: float
    """Share of the question's distinct n-grams that are in the text; 1 for a question found as a whole."""


class Contamination:
    """Questions of benchmarks, to be found in texts.

    >>> known = Contamination(n=5)
    >>> known.add("sums", "s1", "What do you get when you add 17 to 25?")
    >>> known.find("TASK: what do you get, when you add $17$ to $25$ ...")
    [Overlap(benchmark='sums', id='s1', share=1.0)]
    """

    def __init__(self, n: int = 13, *, min_words: int = 5, min_bytes: int = 20, max_questions: int = 10) -> None:
        """
        Args:
            n: words of an n-gram.
            min_words, min_bytes: a question of fewer than n words is searched if it has at least this many words and
                bytes in UTF-8 (a Chinese character is three).
            max_questions: an n-gram in more questions than this is a phrase of the benchmark ("The input is given from
                Standard Input in the following format"), and does not count for questions that have other n-grams.
        """
        if n < 1:
            raise ValueError(f"n is {n}, and has to be at least 1.")
        self._n, self._min_words, self._min_bytes, self._max_questions = n, min_words, min_bytes, max_questions
        self._names: list[tuple[str, str]] = []
        self._indexes: dict[int, _Index] = defaultdict(_Index)  # by the length of its n-grams
        self._num_questions: Counter[str] = Counter()  # questions that are searched, by benchmark
        self._num_too_short: Counter[str] = Counter()

    def add(self, benchmark: str, id: str, text: str) -> None:
        """Add a question. Add all of them before the first :meth:`find`, because each addition causes a new sort of the
        index."""
        said = words(text)
        length = min(self._n, len(said))
        is_short = length < self._n
        if is_short and (length < self._min_words or len("".join(said).encode()) < self._min_bytes):
            self._num_too_short[benchmark] += 1
            return
        self._num_questions[benchmark] += 1
        self._indexes[length].add(len(self._names), np.unique(ngram_hashes(said, length)))
        self._names.append((benchmark, id))

    def find(self, text: str) -> list[Overlap]:
        """Return every question of which a text contains an n-gram, the one with the largest share first."""
        said = words(text)
        found = [
            Overlap(*self._names[question], share)
            for length, index in self._indexes.items()
            if length <= len(said)
            for question, share in index.find(ngram_hashes(said, length), max_questions=self._max_questions)
        ]
        return sorted(found, key=lambda overlap: (-overlap.share, overlap.benchmark, overlap.id))

    def report(self) -> ContaminationReport:
        """Return an empty report on texts that are searched for these questions."""
        names = sorted(self._num_questions | self._num_too_short)
        return ContaminationReport(
            n=self._n,
            num_questions={name: self._num_questions[name] for name in names},
            num_too_short={name: self._num_too_short[name] for name in names},
            num_texts_by_benchmark=dict.fromkeys(names, 0),
            examples={name: [] for name in names},
        )


class _Index:
    """N-grams of one length, sorted by hash, each with the number of its question."""

    def __init__(self) -> None:
        self._added: list[tuple[int, UInt64Array]] = []
        self._hashes: UInt64Array = np.zeros(0, dtype=np.uint64)  # [E] sorted
        self._questions: Int32Array = np.zeros(0, dtype=np.int32)  # [E]
        self._counts: BoolArray = np.zeros(0, dtype=np.bool_)  # [E] True if the n-gram is evidence for the question
        self._sizes: dict[int, int] = {}
        """Numbers of n-grams that count, by question."""

    def add(self, question: int, hashes: UInt64Array) -> None:
        self._added.append((question, hashes))

    def find(self, hashes: UInt64Array, *, max_questions: int) -> list[tuple[int, float]]:
        """Return questions that share n-grams with these, and the share of each question's own n-grams."""
        if self._added:
            self._sort(max_questions)
        asked = np.unique(hashes)
        first = np.searchsorted(self._hashes, asked)
        is_known = first < len(self._hashes)
        is_known[is_known] = self._hashes[first[is_known]] == asked[is_known]
        if not is_known.any():
            return []
        last = np.searchsorted(self._hashes, asked[is_known], side="right")
        entries = np.concatenate([np.arange(*span) for span in zip(first[is_known], last, strict=True)])
        found, shared = np.unique(self._questions[entries[self._counts[entries]]], return_counts=True)
        return [(q, num / self._sizes[q]) for q, num in zip(found.tolist(), shared.tolist(), strict=True)]

    def _sort(self, max_questions: int) -> None:
        hashes = np.concatenate([self._hashes, *(found for _, found in self._added)])
        numbers = [np.full(len(found), question, dtype=np.int32) for question, found in self._added]
        questions = np.concatenate([self._questions, *numbers])
        order = np.argsort(hashes, kind="stable")
        self._hashes, self._questions, self._added = hashes[order], questions[order], []
        _, group, sizes = np.unique(self._hashes, return_inverse=True, return_counts=True)
        is_rare = sizes[group] <= max_questions
        has_rare = np.isin(self._questions, self._questions[is_rare])
        self._counts = is_rare | ~has_rare
        found, counts = np.unique(self._questions[self._counts], return_counts=True)
        self._sizes = dict(zip(found.tolist(), counts.tolist(), strict=True))


@dataclass(slots=True, kw_only=True)
class ContaminationReport:
    """Results for the examined texts, counted by :meth:`record`. Dicts are by benchmark."""

    n: int
    num_questions: dict[str, int]
    """Numbers of questions that are searched."""
    num_too_short: dict[str, int]
    """Numbers of questions that are too short to be searched."""
    num_texts_by_benchmark: dict[str, int]
    """Texts that contain a question, completely or in part; a text may count for several benchmarks."""
    examples: dict[str, list[tuple[str, str, float]]]
    """The first few: id of the text, id of the question, share."""
    num_texts: int = 0
    num_found: int = 0

    def record(self, text_id: str, overlaps: Sequence[Overlap]) -> None:
        """Count a text, with the result of :meth:`Contamination.find`."""
        self.num_texts += 1
        self.num_found += bool(overlaps)
        best = {overlap.benchmark: overlap for overlap in reversed(overlaps)}
        for benchmark, overlap in best.items():
            self.num_texts_by_benchmark[benchmark] += 1
            if len(self.examples[benchmark]) < _MAX_EXAMPLES:
                self.examples[benchmark].append((text_id, overlap.id, overlap.share))
