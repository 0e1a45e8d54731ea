from __future__ import annotations

import json
from pathlib import Path

from r1ray.page.stage_rows import end_of, fault_rows, ledger_of, stage_rows
from tests.page.planted import plant_recipe


def test_each_stage_says_what_it_read_and_made(tmp_path: Path) -> None:
    first, second = stage_rows(plant_recipe(tmp_path / "recipe"))
    assert (first["name"], first["recipe"], first["reads"]) == ("fine_tuned", "sft", ["/models/base"])
    assert (second["reads"], second["state"], second["seconds"]) == (["fine_tuned"], "finished", 99)
    assert second["metrics"] == {"train_loss": 0.5, "pass@1": 0.4}


def test_a_stage_that_was_only_begun_has_a_row_too(tmp_path: Path) -> None:
    (tmp_path / "stages" / "rl").mkdir(parents=True)
    (tmp_path / "stages" / "rl" / "manifest.json").write_text("{")
    assert [(row["name"], row["state"]) for row in stage_rows(tmp_path)] == [("rl", "begun")]


def test_a_stage_that_was_given_is_known_by_the_lineage(tmp_path: Path) -> None:
    (tmp_path / "lineage.json").write_text(json.dumps({"sft": {"given": True, "artifact": {"path": "/m"}}}))
    assert [(row["state"], row["made"]) for row in stage_rows(tmp_path)] == [("given", "/m")]


def test_faults_are_listed_where_their_counts_rose() -> None:
    rows = [{"step": 1, "faults/engine": 0.0}, {"step": 2, "faults/engine": 1.0}, {"step": 3, "faults/engine": 1.0}]
    rows += [{"step": 4, "scoring/unscored": 2.0}, {"step": 5, "scoring/unscored": 2.0}]
    found = [(row["step"], row["what"]) for row in fault_rows(rows)]
    assert found == [(2, "faults/engine"), (4, "scoring/unscored"), (5, "scoring/unscored")]


def test_the_ledger_has_the_last_counts() -> None:
    rows = [{"step": 1, "ledger/issued": 4, "ledger/dropped/stale": 1}, {"step": 2, "ledger/issued": 8}]
    assert ledger_of(rows) == {"issued": 8, "dropped/stale": 1}


def test_the_end_is_the_drivers_word(tmp_path: Path) -> None:
    assert end_of(tmp_path) == ""
    (tmp_path / "status.json").write_text('{"ended": "finished"}')
    assert end_of(tmp_path) == "finished"
