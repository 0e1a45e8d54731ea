"""BM25 index of a corpus: built once for each machine, and mapped into the memory of each process that searches.

<folder>/<digest of the corpus>/index/    bm25s' files, and passages.arrow with the texts
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import threading
import unicodedata
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from r1ray.environments.tools.corpus import Corpus, Passage
from r1ray.errors import UserError
from r1ray.runtime.files import written_aside
from r1ray.runtime.folder_lock import locked

FORM = 1
"""Version of the file format, and of the rules by which texts become words."""
BUILD_S = 3600.0
"""Longest wait for another process that is building the same index."""
BATCH = 4096
_WORD = re.compile(r"[\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff]|[^\W_\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff]+")
"""Pattern of a word, or of a single character of Chinese or Japanese, which have no blanks."""
_SCHEMA = pa.schema([("title", pa.large_string()), ("text", pa.large_string())])


def words_of(text: str) -> list[str]:
    """Return the words of a text, normalised for comparison.

    >>> words_of("The \\ufb01rst R1-Zero")
    ['the', 'first', 'r1', 'zero']
    """
    return _WORD.findall(unicodedata.normalize("NFKC", text).lower())


class Bm25Index:
    """A finished index."""

    def __init__(self, folder: Path) -> None:
        self._retriever = bm25s().BM25.load(str(folder), mmap=True)
        with pa.memory_map(str(folder / "passages.arrow")) as source:
            self._passages: pa.Table = pa.ipc.open_file(source).read_all()

    def __len__(self) -> int:
        return int(self._passages.num_rows)

    def search(self, query: str, *, k: int) -> list[Passage]:
        """Return at most ``k`` passages, the best first; passages without any word of the query are left out."""
        known = self._retriever.vocab_dict
        words = [word for word in dict.fromkeys(words_of(query)) if word in known]
        if not words:
            return []
        scores = np.asarray(self._retriever.get_scores(words))
        k = min(k, int(np.count_nonzero(scores > 0)))
        best = np.argpartition(-scores, k - 1)[:k] if k else np.zeros(0, dtype=np.int64)
        ordered = best[np.lexsort((best, -scores[best]))]
        return [self._passage(int(index)) for index in ordered]

    def _passage(self, index: int) -> Passage:
        row = self._passages.slice(index, 1).to_pylist()[0]
        return Passage(row["title"], row["text"])


_loading = threading.Lock()
_loaded: dict[Path, Bm25Index] = {}


def index_of(corpus: Corpus, *, folder: Path) -> Bm25Index:
    """Return the index of a corpus. If it does not exist yet, one process of a machine builds it while others wait.
    Raises UserError."""
    place = folder / _digest(corpus)
    with _loading:
        if place not in _loaded:
            _loaded[place] = Bm25Index(_built(corpus, place))
        return _loaded[place]


def _built(corpus: Corpus, place: Path) -> Path:
    built = place / "index"
    if not built.exists():
        with locked(place, key="index", wait_s=BUILD_S):
            if not built.exists():
                with written_aside(built) as aside:
                    _build(corpus, aside)
    return built


def default_folder() -> Path:
    """Return the folder of indexes: in the user's cache, because several runs use them."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "r1ray" / "search"


def bm25s() -> Any:
    """Return the library. Raises UserError if it is not installed."""
    try:
        import bm25s
    except ImportError as error:
        raise UserError("search: needs the package bm25s: pip install 'r1ray[search]'.") from error
    return bm25s


def _digest(corpus: Corpus) -> str:
    files = [(file.path, file.size, file.changed) for file in corpus.files]
    made_of = [FORM, corpus.is_text, corpus.text_column, corpus.title_column, files]
    return hashlib.sha256(json.dumps(made_of).encode()).hexdigest()[:24]


def _build(corpus: Corpus, folder: Path) -> None:
    folder.mkdir()
    vocabulary: dict[str, int] = {}
    documents: list[list[int]] = []
    with pa.OSFile(str(folder / "passages.arrow"), "wb") as sink, pa.ipc.new_file(sink, _SCHEMA) as writer:
        batch: list[Passage] = []
        for passage in corpus.passages():
            words = words_of(f"{passage.title}\n{passage.text}")
            documents.append([vocabulary.setdefault(word, len(vocabulary)) for word in words])
            batch.append(passage)
            if len(batch) == BATCH:
                writer.write_batch(_record(batch))
                batch = []
        writer.write_batch(_record(batch))
    if not vocabulary:
        raise UserError(f"{corpus.named}: has no passage with a word in it.")
    retriever = bm25s().BM25(backend="numpy")
    retriever.index((documents, vocabulary), show_progress=False)
    retriever.save(str(folder), show_progress=False)


def _record(passages: Sequence[Passage]) -> pa.RecordBatch:
    columns = [[passage.title for passage in passages], [passage.text for passage in passages]]
    return pa.record_batch([pa.array(column, pa.large_string()) for column in columns], schema=_SCHEMA)
