from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from r1ray.errors import UserError
from r1ray.runtime.own_process import Name, OwnProcess
from r1ray.runtime.run_files import LOGS
from r1ray.telemetry.driver_status import begin_stage, told
from r1ray.telemetry.metrics import append_row
from r1ray.telemetry.run_status import STATUS, find_run, on_this_node, read_status


@pytest.fixture
def run_dir(tmp_path: Path) -> Iterator[Path]:
    """The folder of a run that this process drives, with a process that died."""
    folder = tmp_path / "mine"
    with told(folder):
        begin_stage("rl", folder)
        log = folder / LOGS / "learner-rank-1.log"
        log.write_text("Traceback (most recent call last):\nValueError: planted\n")
        OwnProcess(Name("learner rank", 1), log).write()
        value = json.loads(log.with_suffix(".json").read_text())
        value["process"]["started"] -= 1  # another process than this one
        log.with_suffix(".json").write_text(json.dumps(value))
        yield folder


def test_a_dead_process_is_shown_with_the_error_of_its_log_and_gets_no_signal(run_dir: Path) -> None:
    rank = read_status(run_dir).actors[1]
    assert (rank.role, rank.index, rank.state, rank.last_error) == ("learner rank", 1, "dead", "ValueError: planted")
    assert "last error: ValueError: planted" in read_status(run_dir).lines()[-2]
    assert [each.role for each in on_this_node(run_dir).values()] == ["driver"]


def test_before_the_first_step_there_is_no_step(run_dir: Path) -> None:
    status = read_status(run_dir)
    assert (status.step, status.policy_version, status.ledger, status.faults) == (None, None, {}, {})
    assert "no step yet" in status.lines()[0]


def test_faults_are_counted_by_their_names(run_dir: Path) -> None:
    append_row(run_dir / "metrics.jsonl", {"step": 1, "policy_version": 2, "faults/learner": 1.0})
    assert read_status(run_dir).faults == {"learner": 1}
    assert "faults: learner 1" in read_status(run_dir).lines()


def test_a_driver_that_lives_and_writes_nothing_is_noticed(run_dir: Path) -> None:
    path = run_dir / STATUS
    value = json.loads(path.read_text())
    value["driver"]["updated"] = time.time() - 100
    path.write_text(json.dumps(value))
    status = read_status(run_dir)
    assert status.driver["state"] == "running" and 99 < status.updated_s_ago < 110
    assert any("has written nothing for a while" in line for line in status.lines())


def test_a_stages_folder_means_its_run(run_dir: Path) -> None:
    stage = run_dir / "stages" / "rl"
    stage.mkdir(parents=True)
    assert find_run(stage) == find_run(run_dir) == run_dir


@pytest.mark.parametrize("text", ["", "[]", "{}", "5", '{"driver": {}}', '{"run": "mine"'])
def test_a_file_that_is_no_status_is_named(tmp_path: Path, text: str) -> None:
    (tmp_path / STATUS).write_text(text)
    with pytest.raises(UserError, match=r"status\.json: is not the status of a run"):
        read_status(tmp_path)
