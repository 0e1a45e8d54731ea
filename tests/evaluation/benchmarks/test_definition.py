"""The YAML of a benchmark: what is understood, and what is refused with which sentence."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from r1ray.errors import UserError
from r1ray.evaluation.benchmarks.definition import benchmark_names, load_benchmark

OWN: dict[str, Any] = {
    "title": "Sums",
    "check": "math",
    "fields": {"question": "q", "answer": "a"},
    "prompt": "{question}",
    "samples": 4,
    "metrics": ["pass@1", "cons@4"],
    "source": "mine",
    "licence": "mine",
}


def write(path: Path, **changes: Any) -> str:
    values = {key: value for key, value in {**OWN, **changes}.items() if value != "DROP"}
    path.write_text(yaml.safe_dump(values))
    return str(path)


def test_a_file_of_the_users_is_a_benchmark(tmp_path: Path) -> None:
    benchmark = load_benchmark(write(tmp_path / "sums.yaml"))
    assert (benchmark.name, benchmark.metrics, benchmark.template) == ("sums", ("pass@1", "cons@4"), "chat")
    assert benchmark.folder == tmp_path


@pytest.mark.parametrize("name", benchmark_names())
def test_a_benchmark_that_ships_is_named_like_its_file(name: str) -> None:
    assert load_benchmark(name).name == name


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"sample": 3}, "sample: no such key; the nearest is samples"),
        ({"licence": "DROP"}, "needs licence"),
        ({"check": "maths"}, "check=maths: needs one of math, choice"),
        ({"fields": {"question": "q"}}, "fields: check=math needs answer"),
        ({"check": "choice", "fields": {"question": "q", "options": "o"}}, "check=choice needs correct, wrong"),
        ({"metrics": ["pass@all"]}, "metrics: pass@all is not a metric; needs pass@1, cons@K"),
        ({"metrics": []}, "metrics is empty"),
        ({"samples": 0}, "samples=0: needs a whole number of at least 1"),
        ({"template": "alpaca"}, "template=alpaca: needs one of r1_zero, chat, none"),
    ],
)
def test_a_wrong_file_is_refused_with_its_key(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        load_benchmark(write(tmp_path / "sums.yaml", **changes))


def test_an_unknown_name_gets_the_nearest() -> None:
    with pytest.raises(UserError, match=r"benchmark=aime24: no such benchmark; the nearest is aime_2024"):
        load_benchmark("aime24")


@pytest.mark.parametrize("text", ["just words", "a: [1", "- 1\n- 2"])
def test_what_is_no_mapping_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "x.yaml").write_text(text)
    with pytest.raises(UserError, match="benchmark="):
        load_benchmark(str(tmp_path / "x.yaml"))
