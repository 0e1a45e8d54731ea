"""Data sets of a hub, against a server on this machine."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from r1ray.data import hub
from r1ray.data.files import find_files
from r1ray.data.spool import rows_of
from r1ray.errors import UserError
from tests.data.hub_server import REPO, Hub, serving

CARD = b"""---
license: mit
configs:
- config_name: main
  default: true
  data_files:
  - split: train
    path: main/train-*
  - split: test
    path: main/test-*
- config_name: hard
  data_files: hard/*.jsonl
---
# Sums
"""


def parquet(*answers: str) -> bytes:
    sink = io.BytesIO()
    pq.write_table(pa.Table.from_pylist([{"question": "q", "answer": answer} for answer in answers]), sink)
    return sink.getvalue()


def lines(*answers: str) -> bytes:
    return "".join(json.dumps({"question": "q", "answer": answer}) + "\n" for answer in answers).encode()


FILES = {
    "README.md": CARD,
    "main/train-00000-of-00002.parquet": parquet("1", "2"),
    "main/train-00001-of-00002.parquet": parquet("3"),
    "main/test-00000-of-00001.parquet": parquet("4"),
    "hard/a[1].jsonl": lines("5"),
    "hard/b.jsonl": lines("6"),
    "big.bin": b"0" * 64,
}
PLAIN = {"train.jsonl": lines("1"), "test.jsonl": lines("2"), "socratic/dev.csv": b"question,answer\nq,3\n"}

Serve = Callable[..., Hub]


@pytest.fixture
def serve(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Serve]:
    import huggingface_hub.constants as constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_PROGRESS_BARS", True)
    monkeypatch.setattr(logging.getLogger("huggingface_hub"), "disabled", True)
    hub._listing.cache_clear()
    running = []

    def begin(files: dict[str, bytes], **more: Any) -> Hub:
        server = serving(Hub({"main": files}, **more))
        running.append(server)
        made = server.__enter__()
        monkeypatch.setenv("HF_ENDPOINT", made.address)
        return made

    yield begin
    for server in running:
        server.__exit__(None, None, None)
    hub._listing.cache_clear()


def answers(text: str) -> list[str]:
    return [row["answer"] for _, row in rows_of(text, key="data.train")]


@pytest.mark.parametrize(
    ("part", "found"),
    [
        ("", ["1", "2", "3"]),
        (":main", ["1", "2", "3"]),
        ("@main:main/test", ["4"]),
        (":hard/train", ["5", "6"]),
    ],
)
def test_the_card_says_which_files_a_config_and_split_have(serve: Serve, part: str, found: list[str]) -> None:
    made = serve(FILES)
    assert answers(f"hf://{REPO}{part}") == found
    assert "big.bin" not in made.downloaded
    assert len(made.downloaded) == 1 + len(find_files(f"hf://{REPO}{part}", key="k")), "and each of these once"


@pytest.mark.parametrize(("part", "found"), [("", ["1"]), (":default/test", ["2"]), (":socratic/dev", ["3"])])
def test_without_a_card_the_names_of_files_say_it(serve: Serve, part: str, found: list[str]) -> None:
    serve(PLAIN)
    assert answers(f"hf://{REPO}{part}") == found


def test_a_revision_is_that_of_its_commit(serve: Serve) -> None:
    made = serve(PLAIN)
    made.revisions["v2"] = {"train.jsonl": lines("9")}
    assert answers(f"hf://{REPO}@v2") == ["9"]
    assert answers(f"hf://{REPO}@{made.commit('main')}:default/train") == ["1"]


def test_what_was_downloaded_once_needs_no_network(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    serve(FILES)
    assert answers(f"hf://{REPO}:main/test") == ["4"]
    hub._listing.cache_clear()
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    assert answers(f"hf://{REPO}:main/test") == ["4"]
    with pytest.raises(UserError, match="the hub cannot be reached, and these files were not downloaded before"):
        answers(f"hf://{REPO}:main/train")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (f"hf://{REPO}:easy/train", "the data set has no config easy; needs one of main, hard"),
        (f"hf://{REPO}:main/dev", "the data set has no files of the split dev; there are test, train"),
        (f"hf://{REPO}@v9", "the data set has no such revision"),
        ("hf://acme/other", "no such data set, or a private one: log in"),
        ("hf://acme", r"needs the form hf://ORG/NAME@REVISION:CONFIG/SPLIT"),
        (f"hf://datasets/{REPO}", r"needs the form hf://ORG/NAME@REVISION:CONFIG/SPLIT"),
    ],
)
def test_what_is_not_there_is_a_sentence(serve: Serve, text: str, message: str) -> None:
    serve(FILES)
    with pytest.raises(UserError) as refused:
        answers(text)
    assert str(refused.value).startswith(f"data.train={text}: ")
    assert message in str(refused.value)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("files", "more", "message"),
    [
        ({"train.txt": b"x"}, {}, "its files, such as train.txt, are no Parquet, JSON or CSV files"),
        ({"README.md": CARD.replace(b"  default: true\n", b"")}, {}, "several configs; needs one of main, hard"),
        ({"a.jsonl": b"", "b.csv": b""}, {}, "its files, such as a.jsonl and b.csv, are of several formats"),
        (PLAIN, {"gated": True}, "is gated: accept its terms on the hub, and log in"),
    ],
)
def test_a_set_that_cannot_be_read_is_a_sentence(
    serve: Serve, files: dict[str, bytes], more: dict[str, bool], message: str
) -> None:
    serve(files, **more)
    with pytest.raises(UserError, match=message):
        answers(f"hf://{REPO}")


def test_no_network_is_a_sentence(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(
        UserError, match=r"^data.train=hf://acme/sums: the hub cannot be reached, and these .* before\.$"
    ):
        answers("hf://acme/sums")
