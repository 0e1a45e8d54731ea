"""Corpus of passages: rows of files, or text files cut at blank lines.

JSON lines, Parquet, CSV: each row is a passage     {"title", "text"}
a folder of .txt, .md, .rst: several for each file  its path is their title
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from r1ray.data.files import DataFile, find_files, local_file
from r1ray.data.formats import Reader, Unread
from r1ray.errors import UserError

TEXTS = (".txt", ".md", ".rst")
MAX_CHARS = 1200
"""Length of a text file's passage up to which successive paragraphs are joined. Unit: characters."""


@dataclass(frozen=True, slots=True)
class Passage:
    """One result of a search."""

    title: str
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Corpus:
    """Location and columns of the passages."""

    files: tuple[DataFile, ...]
    is_text: bool
    text_column: str = "text"
    title_column: str = "title"
    named: str = "corpus"
    root: str = ""

    @classmethod
    @functools.cache
    def found(cls, path: str, *, text_column: str, title_column: str) -> Corpus:
        """Return the corpus at a path; the path is examined once for each process, because each trajectory asks. Raises
        UserError if there is none."""
        folder = Path(path).expanduser()
        texts = sorted(each for each in folder.rglob("*") if each.suffix.lower() in TEXTS) if folder.is_dir() else []
        files = [local_file(str(each)) for each in texts if each.is_file()]
        return cls(
            files=tuple(files or find_files(path, key="corpus")),
            is_text=bool(files),
            text_column=text_column,
            title_column=title_column,
            named=f"corpus={path}",
            root=str(folder),
        )

    def passages(self) -> Iterator[Passage]:
        """Yield all passages that are not empty. Raises UserError if a file cannot be read, or lacks the column."""
        for file in self.files:
            yield from self._of_text(file) if self.is_text else self._of_rows(file)

    def _of_text(self, file: DataFile) -> Iterator[Passage]:
        try:
            text = Path(file.path).read_text(encoding="utf-8", errors="replace")
        except OSError as error:
            raise UserError(f"{self.named}: {file.path} cannot be read: {error}.") from error
        title = str(Path(file.path).relative_to(self.root))
        yield from (Passage(title, piece) for piece in pieces_of(text))

    def _of_rows(self, file: DataFile) -> Iterator[Passage]:
        for number, row in Reader(file, named=f"{self.named}, {file.name}").rows():
            if isinstance(row, Unread):
                raise UserError(f"{self.named}: {file.name}, {row.place}: {row.reason}.")
            if self.text_column not in row:
                raise UserError(
                    f"{self.named}: {file.name}, row {number} has no column {self.text_column}, but "
                    f"{', '.join(row)}; needs text_column=COLUMN."
                )
            text = _clean(row[self.text_column])
            if text:
                yield Passage(_clean(row.get(self.title_column)), text)


def pieces_of(text: str) -> Iterator[str]:
    """Yield the passages of a text: successive paragraphs, and parts of paragraphs that are too long.

    >>> list(pieces_of("One.\\n\\nTwo.\\n"))
    ['One.\\n\\nTwo.']
    """
    held = ""
    for paragraph in text.replace("\r\n", "\n").split("\n\n"):
        together = f"{held}\n\n{paragraph.strip()}".strip()
        if len(together) > MAX_CHARS and held:
            yield held
            together = paragraph.strip()
        while len(together) > MAX_CHARS:
            end = together.rfind(" ", MAX_CHARS // 2, MAX_CHARS) + 1 or MAX_CHARS
            yield together[:end].strip()
            together = together[end:].strip()
        held = together
    if held:
        yield held


def _clean(value: object) -> str:
    return "" if value is None else str(value).encode("utf-8", "replace").decode().strip()
