"""Files to rows, in every format."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from r1ray.data.files import find_files
from r1ray.data.formats import Reader, Unread
from r1ray.data.json_text import ArrayItems
from r1ray.errors import UserError

ROWS: list[dict[str, Any]] = [{"question": "1+1?", "answer": "2"}, {"question": 'say "a,\nb"', "answer": "[x]"}]
LINES = "".join(json.dumps(row) + "\n" for row in ROWS)
CSV = 'question,answer\n1+1?,2\n"say ""a,\nb""",[x]\n'


def read(path: Path) -> list[tuple[int, Any]]:
    (file,) = find_files(str(path), key="k")
    reader = Reader(file, named=f"k={path.name}")
    found = list(reader.rows())
    assert reader.share_read == 1.0
    return found


def packed(path: Path, content: bytes) -> Path:
    with pa.output_stream(str(path), compression="detect") as sink:
        sink.write(content)
    return path


@pytest.mark.parametrize("codec", ["", ".gz", ".zst", ".bz2", ".lz4"])
@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("x.jsonl", LINES),
        ("x.json", LINES),
        ("x.json", json.dumps(ROWS)),
        ("x.jsonl", "\ufeff \n" + json.dumps(ROWS, indent=2) + "\n"),
        ("x.csv", CSV),
        ("x.csv", "\ufeff" + CSV.replace("\n", "\r\n").replace("a,\r\nb", "a,\nb")),
        ("x.tsv", CSV.replace(",", "\t").replace("a\t", "a,")),
        ("rows", LINES),
    ],
)
def test_the_same_rows_come_of_every_format(tmp_path: Path, name: str, content: str, codec: str) -> None:
    path = packed(tmp_path / f"{name}{codec}", content.encode())
    assert [row for _, row in read(path)] == ROWS


def test_parquet_comes_row_by_row(tmp_path: Path) -> None:
    pq.write_table(pa.Table.from_pylist(ROWS), tmp_path / "x.parquet")
    assert read(tmp_path / "x.parquet") == [(1, ROWS[0]), (2, ROWS[1])]


def test_a_bad_row_leaves_the_others(tmp_path: Path) -> None:
    lines, array, table = (tmp_path / name for name in ("x.jsonl", "x.json", "x.csv"))
    lines.write_text('{"a": 1}\n\n{"a": \n3\n{"a": 2}\n')
    array.write_text('[{"a": 1}, 3, {"a": 1, "a": 2}, {"a": 2}]')
    table.write_text("a,b\n1,2\n1\n3,4\n")
    told = [(number, f"{row.place}: {row.reason}") for number, row in read(lines) if isinstance(row, Unread)]
    assert told[0][0] == 3 and told[0][1].startswith("line 3: not JSON: ")
    assert told[1] == (4, "line 4: needs a JSON object, found '3\\n'")
    assert [row.reason[:25] for _, row in read(array) if isinstance(row, Unread)] == [
        "needs a JSON object, found 3"[:25],
        "not JSON: the key 'a' is "[:25],
    ]
    assert [(n, row) for n, row in read(table)] == [
        (1, {"a": "1", "b": "2"}),
        (2, Unread("row 2", "has 1 cells, and the header 2")),
        (3, {"a": "3", "b": "4"}),
    ]


def test_an_empty_cell_is_no_value(tmp_path: Path) -> None:
    (tmp_path / "x.csv").write_text("a,b\n1,\n")
    assert read(tmp_path / "x.csv") == [(1, {"a": "1", "b": None})]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("x.json", b'[{"a": 1},\n {"a": oops}]', "line 2, item 2 of the array: not JSON: Expecting value"),
        ("x.json", b'[{"a": 1},\n', "line 2, item 2 of the array: not JSON"),
        ("x.json", b'[{"a": 1}\n{"a": 2}]', "line 2: not JSON: needs , in an array, found '{"),
        ("x.json", b'[{"a": 1}]\n[{"a": 2}]', "line 2: not JSON: there is more after the end of the array"),
        ("x.json", b"[" * 100_000, "item 1 of the array is nested too deeply"),
        ("x.json", b'[{"a": "\xff"}]', "can't decode byte 0xff"),
        ("x.csv", b"a,a\n1,2\n", "two columns have one name"),
        ("x.csv", b"a,b\n\xff,2\n", "can't decode byte 0xff"),
        ("x.csv", b'a,b\n1,2\n"3,4\n5,6\n', "line 4: unexpected end of data"),
        ("x.jsonl.zst", b'{"a": 1}', "cannot be read"),
        ("x.jsonl.gz", b'{"a": 1}', "cannot be read"),
        ("x.parquet.gz", b"PAR1", "a Parquet file in another compression"),
        ("x.jsonl", b"PAR1", "it is a Parquet file; needs a name that ends in .parquet"),
    ],
)
def test_a_file_that_is_none_is_refused(tmp_path: Path, name: str, content: bytes, message: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(UserError) as refused:
        read(tmp_path / name)
    assert f"k={name}: cannot be read: " in str(refused.value)
    assert message in str(refused.value)


def test_half_of_a_compressed_file_is_refused(tmp_path: Path) -> None:
    path = packed(tmp_path / "x.jsonl.zst", (LINES * 1000).encode())
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(UserError, match="Truncated compressed stream"):
        read(path)


VALUES = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(-99, 99), st.floats(allow_nan=False), st.text(max_size=8)),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=3), inner, max_size=3)),
    max_leaves=6,
)


@settings(max_examples=80, deadline=None)
@given(items=st.lists(VALUES, max_size=6), chunk=st.integers(1, 40), indent=st.sampled_from([None, 1]))
def test_an_array_is_read_in_pieces_of_any_size(items: list[Any], chunk: int, indent: int | None) -> None:
    found = ArrayItems(io.StringIO(json.dumps(items, indent=indent, ensure_ascii=False) + "\n"), chunk=chunk)
    assert [json.loads(text) for _, text in found] == items
