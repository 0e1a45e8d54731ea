from __future__ import annotations

import re

import numpy as np
import pytest

from r1ray.errors import UserError
from r1ray.page import query
from r1ray.page.document import sources
from r1ray.page.query import in_order, read_query, rows_like
from r1ray.page.report import Runs, read_runs
from tests.page.planted import plant


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Runs:
    return read_runs([plant(tmp_path_factory.mktemp("runs") / "one", num_steps=8)])


@pytest.mark.parametrize(
    ("given", "is_wanted"),
    [
        ({"domain": "code"}, lambda row: row["domain"] == "code"),
        ({"part": "0", "kind": "training"}, lambda row: True),
        ({"part": "1"}, lambda row: False),
        ({"step_min": "3", "step_max": "4"}, lambda row: row["step"] in (3, 4)),
        ({"reward_min": "2"}, lambda row: row["reward"] is not None and row["reward"] >= 2),
        (
            {"length_max": "13", "status": "finished"},
            lambda row: row["status"] == "finished" and row["num_policy_tokens"] <= 13,
        ),
        ({"ready": "dropped"}, lambda row: row["group_status"] == "dropped"),
        ({"dropped_reason": "generation_failed"}, lambda row: row["dropped_reason"] is not None),
    ],
)
def test_rows_are_those_that_the_query_is_like(runs: Runs, given: dict[str, str], is_wanted: object) -> None:
    wanted = [bool(is_wanted(row)) for row in runs.index.to_pylist()]  # type: ignore[operator]
    assert rows_like(runs.index, read_query(given)).tolist() == wanted


def test_rows_without_a_value_are_the_last_in_both_orders() -> None:
    rows, values = np.arange(5), np.array([2.0, np.nan, 1.0, 2.0, 3.0])
    assert in_order(rows, values, is_descending=True).tolist() == [4, 0, 3, 2, 1]
    assert in_order(rows, values, is_descending=False).tolist() == [2, 0, 3, 4, 1]


@pytest.mark.parametrize(
    "given", [{"ready": "x"}, {"sort": "x"}, {"offset": "-1"}, {"step_min": "a"}, {"text": "a" * 1001}]
)
def test_what_is_no_query_is_refused(given: dict[str, str]) -> None:
    with pytest.raises(UserError):
        read_query(given)


def test_the_page_knows_the_same_names() -> None:
    _, script, _ = sources()
    assert f"const PAGE = {query.PAGE};" in script
    (chosen,) = re.findall(r"const CHOSEN = \[(.*?)\]", script, re.DOTALL)
    assert re.findall(r"'(\w+)'", chosen) == list(query.CHOSEN)
    for name in [*filter(None, query.READY), *filter(None, query.SORTS)]:
        assert f" {name}: '" in script
