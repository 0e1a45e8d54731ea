from __future__ import annotations

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from r1ray.environments.tools.corpus import MAX_CHARS, Corpus, Passage, pieces_of
from r1ray.errors import UserError


def passages(path: Path, *, text_column: str = "text") -> list[Passage]:
    return list(Corpus.found(str(path), text_column=text_column, title_column="title").passages())


ROWS = [{"title": "Paris", "text": "The capital of France."}, {"title": None, "text": " Rome \ud800"}, {"text": ""}]
FOUND = [Passage("Paris", "The capital of France."), Passage("", "Rome ?")]


def test_rows_of_files_are_passages(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text("\n".join(map(json.dumps, [ROWS[0], {"text": " Rome ?"}, ROWS[2]])))
    assert passages(tmp_path / "a.jsonl") == FOUND
    pq.write_table(pa.Table.from_pylist([ROWS[0], {"text": "Rome ?", "title": None}]), tmp_path / "b.parquet")
    assert passages(tmp_path / "b.parquet") == FOUND


def test_text_files_of_a_folder_are_cut_at_blank_lines(tmp_path: Path) -> None:
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes/one.md").write_text("First.\r\n\r\nSecond.\n")
    (tmp_path / "two.txt").write_bytes(b"x " * MAX_CHARS + b"\n\n" + b"\xff" * 10)
    found = passages(tmp_path)
    assert found[0] == Passage("notes/one.md", "First.\n\nSecond.")
    assert {each.title for each in found[1:]} == {"two.txt"} and len(found) == 4


@pytest.mark.parametrize("text", ["", "\n\n\n", "a" * 10_000, "word " * 1000, "\n\n".join(["b" * 700] * 5)])
def test_passages_have_at_most_so_many_characters_and_nothing_is_lost(text: str) -> None:
    pieces = list(pieces_of(text))
    assert all(0 < len(piece) <= MAX_CHARS for piece in pieces)
    assert "".join("".join(pieces).split()) == "".join(text.split())


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("a.jsonl", '{"title": "x"}\n', "row 1 has no column text, but title"),
        ("a.jsonl", '{"text": "x"}\n{\n', "line 2"),
        ("a.parquet", "no parquet", "cannot be read"),
    ],
)
def test_what_is_wrong_with_a_corpus_is_told(tmp_path: Path, name: str, content: str, said: str) -> None:
    (tmp_path / name).write_text(content)
    with pytest.raises(UserError, match="corpus=") as raised:
        passages(tmp_path / name)
    assert said in str(raised.value)


def test_a_corpus_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="corpus"):
        passages(tmp_path / "missing.jsonl")
    with pytest.raises(UserError, match="corpus"):
        passages(tmp_path)
