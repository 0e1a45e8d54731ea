from __future__ import annotations

from pathlib import Path

import pytest

from r1ray.errors import UserError
from r1ray.page.query import PAGE, read_query
from r1ray.page.report import read_runs
from r1ray.page.served import Served
from tests.page.planted import HOSTILE, plant


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Served:
    return Served(read_runs([plant(tmp_path_factory.mktemp("runs") / "one", num_steps=10)]))


def test_pages_follow_each_other(served: Served) -> None:
    first, second = (served.page_of(read_query({"offset": offset})) for offset in ("0", str(PAGE)))
    assert first["total"] == second["total"] == len(served.runs.index)
    assert [row["id"] for row in first["rows"] + second["rows"]] == list(range(2 * PAGE))
    assert first["rows"][0]["text"] == HOSTILE[:200]


def test_rows_are_sorted_by_what_is_asked_for(served: Served) -> None:
    rewards = [row["reward"] for row in served.page_of(read_query({"sort": "reward", "order": "up"}))["rows"]]
    assert rewards == sorted(rewards)
    mismatch = [row["mismatch"] for row in served.page_of(read_query({"ready": "mismatch"}))["rows"]]
    assert mismatch == sorted(mismatch, reverse=True) and None not in mismatch


def test_ready_filters_find_what_they_are_for(served: Served) -> None:
    assert all(row["suspicion"] for row in served.page_of(read_query({"ready": "suspected"}))["rows"])
    dropped = served.page_of(read_query({"ready": "dropped"}))
    assert dropped["reasons"] == {"generation_failed": dropped["total"]}
    found = served.page_of(read_query({"ready": "phrases", "text": "LET me check"}))
    assert found["total"] > 0 and all("let me check" in row["text"] for row in found["rows"])


def test_a_group_has_all_of_its_trajectories(served: Served) -> None:
    row = served.page_of(read_query({"step_min": "2"}))["rows"][1]
    group = served.group(row["id"])
    assert (group["group_id"], group["step"]) == (row["group_id"], row["step"])
    assert [each["trajectory"] for each in group["trajectories"]] == [0, 1, 2, 3]
    with pytest.raises(UserError):
        served.group(10**6)


def test_choices_are_the_values_that_there_are(served: Served) -> None:
    choices = served.choices()
    assert choices["domain"] == ["code", "math"]
    assert choices["part"] == [0]
    assert choices["environment"] == []


def test_a_file_that_the_run_has_removed_is_said_so(tmp_path: Path) -> None:
    run = plant(tmp_path / "one", num_steps=1)
    served = Served(read_runs([run]))
    (run / "rollouts/step=000001.parquet").unlink()
    assert served.page_of(read_query({}))["rows"][0]["text"] == ""
    with pytest.raises(UserError, match="reload"):
        served.group(0)
