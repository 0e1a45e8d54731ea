"""Search in a local corpus, by BM25."""

from __future__ import annotations

import functools
from pathlib import Path

from r1ray.environments.tools.bm25_index import bm25s, default_folder, index_of
from r1ray.environments.tools.corpus import Corpus, Passage
from r1ray.environments.tools.function_tool import FunctionTool
from r1ray.environments.tools.results import shortened
from r1ray.errors import UserError
from r1ray.interfaces import Tool
from r1ray.runtime.own_code import Raised, in_thread

MAX_QUERY_CHARS = 1000


class Search:
    """A searchable corpus; its index is built or loaded when it is opened."""

    def __init__(
        self,
        *,
        corpus: str,
        text_column: str = "text",
        title_column: str = "title",
        num_results: int = 3,
        max_passage_chars: int = 1500,
        index: str | None = None,
    ) -> None:
        """Raises UserError if there is no corpus, or the library is not installed.

        Args:
            corpus: a file or folder of JSON lines, Parquet or CSV, or a folder of text files.
            text_column: the column with a passage.
            title_column: the column with its title, which is searched, too; optional.
            num_results: largest number of passages in an answer.
            max_passage_chars: longer passages lose their middle.
            index: a folder for indexes, shared by processes and runs. None: ``~/.cache/r1ray/search``.
        """
        if num_results < 1 or max_passage_chars < 1:
            raise UserError(
                f"search: num_results={num_results}, max_passage_chars={max_passage_chars}: needs 1 or more."
            )
        bm25s()
        Corpus.found(corpus, text_column=text_column, title_column=title_column)
        folder = default_folder() if index is None else Path(index).expanduser()
        self._made_of = (corpus, text_column, title_column, folder, num_results, max_passage_chars)

    async def open(self) -> list[Tool]:
        """Return the tool. Raises UserError for a corpus that cannot be read."""
        try:
            return [await in_thread(_tool, *self._made_of, name="index")]
        except Raised as raised:
            raise raised.error from raised

    async def close(self) -> None: ...


@functools.cache
def _tool(
    path: str, text_column: str, title_column: str, folder: Path, num_results: int, max_passage_chars: int
) -> FunctionTool:
    """Return the tool, made once for each process, because each trajectory asks for it."""
    index = index_of(Corpus.found(path, text_column=text_column, title_column=title_column), folder=folder)

    def search(query: str) -> str:
        """Search the documents, and return the passages that have most of the words.

        Args:
            query: the words to look for
        """
        found = index.search(query[:MAX_QUERY_CHARS], k=num_results)
        texts = [_shown(passage, max_chars=max_passage_chars) for passage in found]
        return "\n\n".join(texts) or "Nothing was found. Try other words."

    return FunctionTool(search)


def _shown(passage: Passage, *, max_chars: int) -> str:
    text = shortened(passage.text, max_chars=max_chars)
    return f"[{passage.title}]\n{text}" if passage.title else text
