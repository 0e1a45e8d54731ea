from __future__ import annotations

import multiprocessing
from pathlib import Path

import pytest

from r1ray.environments.tools import bm25_index
from r1ray.environments.tools.bm25_index import Bm25Index, index_of, words_of
from r1ray.environments.tools.corpus import Corpus
from r1ray.errors import UserError

pytest.importorskip("bm25s", reason="bm25s is not installed: pip install 'r1ray[search]'")

ROWS = """{"title": "Paris", "text": "Paris is the capital of France."}
{"title": "Rome", "text": "Rome is the capital of Italy, Rome, Rome."}
{"title": "\u6771\u4eac", "text": "\u6771\u4eac\u306f\u65e5\u672c\u306e\u9996\u90fd\u3067\u3059"}
{"title": "Long", "text": "filler"}
"""


def corpus(folder: Path, content: str = ROWS) -> Corpus:
    (folder / "corpus.jsonl").write_text(content)
    return Corpus.found(str(folder / "corpus.jsonl"), text_column="text", title_column="title")


def titles(index: Bm25Index, query: str, *, k: int = 10) -> list[str]:
    return [passage.title for passage in index.search(query, k=k)]


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> Bm25Index:
    folder = tmp_path_factory.mktemp("search")
    return index_of(corpus(folder), folder=folder / "index")


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("france", ["Paris"]),
        ("FRANCE!", ["Paris"]),
        ("capital Italy", ["Rome", "Paris"]),
        ("\u65e5\u672c", ["\u6771\u4eac"]),
        ("\uff32\uff4f\uff4d\uff45", ["Rome"]),
        ("xyzzy", []),
        ("xyzzy france", ["Paris"]),
        ("", []),
        ("?!", []),
        ("\ud800", []),
        ("rome " * 10_000, ["Rome"]),
    ],
    ids=lambda value: repr(value)[:20],
)
def test_what_has_a_word_of_the_query_is_found_the_best_first(index: Bm25Index, query: str, found: list[str]) -> None:
    assert titles(index, query) == found


def test_no_more_are_returned_than_asked_for_or_than_there_are(index: Bm25Index) -> None:
    assert len(index) == 4
    assert titles(index, "capital italy", k=1) == ["Rome"]
    assert titles(index, "capital", k=1000) == titles(index, "capital", k=2)


def test_words_are_compared_without_case_width_and_signs() -> None:
    assert words_of("It's R1-Zero_x, \u7b2c1\u7ae0!") == ["it", "s", "r1", "zero", "x", "\u7b2c", "1", "\u7ae0"]


def test_an_index_is_kept_and_built_anew_for_another_corpus(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = index_of(corpus(tmp_path), folder=tmp_path / "index")
    monkeypatch.setattr(bm25_index, "_loaded", {})
    monkeypatch.setattr(bm25_index, "_build", None)
    again = index_of(corpus(tmp_path), folder=tmp_path / "index")
    assert again is not first and titles(again, "france") == ["Paris"]
    monkeypatch.undo()
    (tmp_path / "other").mkdir()
    other = corpus(tmp_path / "other", '{"text": "about france"}\n')
    assert titles(index_of(other, folder=tmp_path / "index"), "france") == [""]


@pytest.mark.parametrize("content", ["", '{"text": ""}\n', '{"text": "?!"}\n'])
def test_a_corpus_without_words_is_told_and_leaves_no_index(tmp_path: Path, content: str) -> None:
    found = corpus(tmp_path, content)
    for _ in range(2):
        with pytest.raises(UserError, match="has no passage with a word"):
            index_of(found, folder=tmp_path / "index")
    assert not list((tmp_path / "index").rglob("passages.arrow"))


@pytest.mark.long
def test_processes_that_need_one_at_the_same_time_build_it_once(tmp_path: Path) -> None:
    corpus(tmp_path)
    context = multiprocessing.get_context("spawn")
    processes = [context.Process(target=index_of_folder, args=(str(tmp_path),)) for _ in range(3)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(120)
    assert [process.exitcode for process in processes] == [0, 0, 0]
    assert len(list((tmp_path / "builds").iterdir())) == 1


def index_of_folder(folder: str) -> None:
    """Make an index in a process of its own, and note whether it was built here."""
    build = bm25_index._build
    builds = Path(folder) / "builds"

    def noted(corpus: Corpus, folder: Path) -> None:
        builds.mkdir(exist_ok=True)
        (builds / str(multiprocessing.current_process().pid)).touch()
        build(corpus, folder)

    bm25_index._build = noted
    found = Corpus.found(str(Path(folder) / "corpus.jsonl"), text_column="text", title_column="title")
    assert titles(index_of(found, folder=Path(folder) / "index"), "france") == ["Paris"]
