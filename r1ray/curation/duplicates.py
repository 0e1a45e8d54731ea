"""Near-duplicates of texts: MinHash-LSH finds candidates, the exact Jaccard similarity of the n-grams decides.

A text is compared with kept texts, never with removed ones, so that a chain of small changes never removes a text that
is unlike all kept ones. Memory: 8 bytes for each word of the kept texts, and about 7 KB for each text.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from datasketch import MinHash, MinHashLSH

from r1ray.curation.words import UInt64Array, ngram_hashes, words

_NUM_PERMUTATIONS: Final = 128
_MAX_EXAMPLES: Final = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class DuplicateReport:
    """Results of a search for near-duplicates."""

    threshold: float
    n: int
    seed: int
    num_texts: int
    num_removed: int
    examples: tuple[tuple[str, str], ...]
    """The first few: the removed text, and the earlier text that it resembles."""


class NearDuplicates:
    """Kept texts, which new texts are compared with.

    >>> known = NearDuplicates(threshold=0.8)
    >>> known.seen("a", "What is the sum of 2 and 3?"), known.seen("b", "what is the sum of 2 and 3")
    (None, 'a')
    """

    def __init__(self, threshold: float = 0.8, *, n: int = 5, recall: float = 0.99, seed: int = 1) -> None:
        """
        Args:
            threshold: least Jaccard similarity of the sets of n-grams for a text to be a duplicate.
            n: words of an n-gram. A shorter text is one n-gram.
            recall: probability of finding a pair exactly at the threshold; it is higher above the threshold.
        """
        if not 0.0 < threshold <= 1.0 or not 0.0 < recall < 1.0 or n < 1:
            raise ValueError(f"threshold={threshold}, recall={recall}, n={n}: the first two are shares, n at least 1.")
        self._threshold, self._n, self._seed = threshold, n, seed
        self._empty = MinHash(num_perm=_NUM_PERMUTATIONS, seed=seed, hashfunc=int)
        self._index = MinHashLSH(num_perm=_NUM_PERMUTATIONS, params=bands(threshold, recall=recall))
        self._kept: list[tuple[str, UInt64Array]] = []  # id, and the hashes of the n-grams, sorted, each once
        self._num_texts = self._num_removed = 0
        self._examples: list[tuple[str, str]] = []

    def seen(self, id: str, text: str) -> str | None:
        """Return the id of the first kept text that this one nearly repeats; None if there is none, and this one is
        then kept. A text without words resembles no other."""
        self._num_texts += 1
        said = words(text)
        if not said:
            return None
        shingles = np.unique(ngram_hashes(said, min(self._n, len(said))))
        sketch = self._empty.copy()
        sketch.update_batch((shingles >> np.uint64(32)).tolist())  # datasketch takes 32 bits
        candidates: list[int] = sorted(self._index.query(sketch))
        for index in candidates:
            earlier, others = self._kept[index]
            if _jaccard(shingles, others) >= self._threshold:
                self._num_removed += 1
                if len(self._examples) < _MAX_EXAMPLES:
                    self._examples.append((id, earlier))
                return earlier
        self._index.insert(len(self._kept), sketch, check_duplication=False)
        self._kept.append((id, shingles))
        return None

    def report(self) -> DuplicateReport:
        """Return the results so far."""
        return DuplicateReport(
            threshold=self._threshold,
            n=self._n,
            seed=self._seed,
            num_texts=self._num_texts,
            num_removed=self._num_removed,
            examples=tuple(self._examples),
        )


def bands(threshold: float, *, recall: float) -> tuple[int, int]:
    """Return the number of bands and the rows of each. A pair of similarity s shares a band with probability 1 - (1 -
    s**rows)**bands. The rows are the most, and false candidates thus the fewest, for which this is at least ``recall``
    at the threshold.

    >>> bands(0.8, recall=0.99)
    (21, 6)
    """
    sizes = ((_NUM_PERMUTATIONS // rows, rows) for rows in range(_NUM_PERMUTATIONS // 2, 0, -1))
    found = next(((b, r) for b, r in sizes if 1.0 - (1.0 - threshold**r) ** b >= recall), None)
    return found or (_NUM_PERMUTATIONS, 1)


def _jaccard(one: UInt64Array, other: UInt64Array) -> float:
    """Return the Jaccard similarity of two sets, given as sorted arrays without repetition."""
    both = np.concatenate((one, other))
    both.sort(kind="stable")  # merges sorted arrays: faster than np.intersect1d
    shared = int(np.count_nonzero(both[1:] == both[:-1]))
    return shared / (len(both) - shared)
