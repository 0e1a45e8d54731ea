from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from r1ray.page.query import read_query
from r1ray.page.report import Runs, read_runs
from r1ray.page.scans import Scans, scans_of
from tests.page.planted import plant, write_rows


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Runs:
    return read_runs([plant(tmp_path_factory.mktemp("runs") / "one", num_steps=3)])


def scans(runs: Runs) -> Scans:
    return Scans(runs.files, np.bincount(runs.index["file"].to_numpy(), minlength=len(runs.files)).tolist())


def test_a_scan_says_how_far_it_is_and_what_it_found_is_kept(runs: Runs) -> None:
    made = scans(runs)
    assert made.known("text", "onerror=") is None
    assert list(made.run("text", "onerror=")) == [{"done": at, "of": 3, "found": 1} for at in (1, 2, 3)]
    assert list(made.run("text", "onerror=")) == []
    assert np.flatnonzero(made.values("text", "onerror=")).tolist() == [0]


def test_a_text_is_found_in_prompts_and_responses_in_any_case(runs: Runs) -> None:
    assert scans(runs).values("text", "what is 7 +").any()
    assert scans(runs).values("text", "wait, let me").sum() == scans(runs).values("phrases").sum() > 0


def test_the_largest_difference_is_that_of_the_tokens_before_the_first_update_of_the_step(runs: Runs) -> None:
    found = scans(runs).values("mismatch")
    is_unknown = [row is None or row % 2 == 1 for row in runs.index["trajectory"].to_pylist()]
    assert np.isnan(found).tolist() == is_unknown
    tokens = runs.index["num_policy_tokens"].to_pylist()
    for row, length in enumerate(tokens):
        if not is_unknown[row]:
            expected = max(abs(0.3 * np.sin(number) ** 9) for number in range(length))
            assert found[row] == pytest.approx(expected, abs=1e-6)


def test_old_and_missing_files_have_nothing(tmp_path: Path) -> None:
    run = plant(tmp_path / "one", num_steps=2)
    write_rows(run / "rollouts/step=000001.parquet", [{"step": 1, "group_id": "a", "segments": []}], is_old=True)
    runs = read_runs([run])
    made = scans(runs)
    (run / "rollouts/step=000002.parquet").unlink()
    assert np.isnan(made.values("mismatch")).all()
    assert not made.values("text", "so").any()


def test_a_query_says_which_scans_it_needs() -> None:
    assert scans_of(read_query({"text": "Wait", "ready": "phrases"})) == [("text", "wait"), ("phrases", "")]
    assert (
        scans_of(read_query({"sort": "mismatch"})) == scans_of(read_query({"ready": "mismatch"})) == [("mismatch", "")]
    )
    assert scans_of(read_query({"domain": "math"})) == []
