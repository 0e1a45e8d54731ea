"""The table is whole: every cell is run or impossible, and what is run belongs to one run."""

from __future__ import annotations

from collections import Counter

from tests.faults.cells import FAULTS, NOT_YET, PHASES, POSSIBLE, QUICK, ROLES, RUNS, TABLE, why_impossible
from tests.faults.results import README, read_results, with_results


def test_every_possible_cell_is_met_by_one_run() -> None:
    met = Counter(cell for cells in RUNS.values() for cell in cells)
    assert set(met.values()) == {1}
    assert {cell for cell in met if not cell.is_beside} == set(POSSIBLE)


def test_every_other_cell_has_its_reason_as_a_sentence() -> None:
    reasons = [reason for cell in TABLE if (reason := why_impossible(cell)) is not None]
    assert len(reasons) + len(POSSIBLE) == len(TABLE) == len(ROLES) * len(FAULTS) * len(PHASES)
    assert all(reason[0].isupper() and reason.endswith(".") for reason in reasons)


def test_make_test_meets_a_dozen_at_most() -> None:
    assert len(QUICK) <= 12
    assert {cell.role for cell in QUICK} >= {"engine core", "learner rank", "group worker", "reward worker"}


def test_results_are_read_as_they_were_written() -> None:
    cells = [POSSIBLE[0], POSSIBLE[-1], QUICK[-1]]
    results = {cell: f"2026-11-0{number}" for number, cell in enumerate(cells, 1)}
    text = with_results("before\n<!-- made: results -->\n<!-- end -->\nafter\n", results)
    assert text.startswith("before\n") and text.endswith("after\n")
    assert read_results(text) == results
    assert with_results(text, results) == text


def test_the_readme_has_the_table_of_these_cells() -> None:
    text = README.read_text()
    assert with_results(text, read_results(text)) == text


def test_a_run_that_is_left_out_is_one_of_them_and_says_what_was_seen() -> None:
    assert set(NOT_YET) <= set(RUNS)
    assert all(seen[0].isupper() and seen.endswith(".") for seen in NOT_YET.values())
