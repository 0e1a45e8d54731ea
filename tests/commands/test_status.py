from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from r1ray.main import main
from r1ray.runtime.own_process import LOG, Name, OwnProcess
from r1ray.runtime.run_files import LOGS
from r1ray.telemetry.driver_status import begin_stage, told
from r1ray.telemetry.metrics import append_row
from r1ray.telemetry.run_status import STATUS
from tests.runtime.children import JOINED, child

FIELDS = ["run", "stage", "step", "policy_version", "updated_s_ago", "driver", "actors", "ledger", "faults"]
OF_ACTOR = ["role", "index", "node", "pid", "state", "waits_for", "since_s", "last_error", "log"]
ROW = {"step": 7, "policy_version": 8, "ledger/issued": 32, "ledger/trained": 28, "ledger/in_flight": 4}


@pytest.fixture
def run_dir(tmp_path: Path) -> Iterator[Path]:
    """The folder of a run that this process drives."""
    folder = tmp_path / "mine"
    with told(folder):
        begin_stage("rl", folder)
        append_row(folder / "metrics.jsonl", ROW)
        (folder / LOGS / "rollout-worker-0.log").write_text("")
        OwnProcess(Name("rollout worker", 0), folder / LOGS / "rollout-worker-0.log").write()
        yield folder


def test_the_status_of_a_live_run_has_the_published_fields(run_dir: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["status", str(run_dir), "--json"]) == 0
    status = json.loads(capsys.readouterr().out)
    assert list(status) == FIELDS
    assert [list(each) for each in status["actors"]] == [OF_ACTOR] * 2
    assert [(each["role"], each["state"]) for each in status["actors"]] == [
        ("driver", "running"),
        ("rollout worker", "running"),
    ]
    assert (status["run"], status["stage"], status["step"], status["policy_version"]) == ("mine", "rl", 7, 8)
    assert status["ledger"] == {"issued": 32, "trained": 28, "in_flight": 4}
    assert status["driver"] == {"node": os.uname().nodename, "pid": os.getpid(), "state": "running"}
    assert 0 <= status["updated_s_ago"] < 60


def test_it_says_what_is_wrong_with_the_stage(run_dir: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for step in range(8, 14):
        append_row(run_dir / "metrics.jsonl", {"step": step, "time/step_s": 1.0, "completion/truncated_rate": 0.5})
    assert main(["status", str(run_dir)]) == 0
    (line,) = [line for line in capsys.readouterr().out.splitlines() if line.startswith("diagnosis: ")]
    assert "cuts 50% of the responses" in line and "algo.max_completion_tokens" in line


def test_for_people_it_is_a_table_that_says_where_the_logs_are(
    run_dir: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["status", str(run_dir)]) == 0
    printed = capsys.readouterr().out
    assert "stage rl: step 7, policy version 8" in printed
    assert f"logs: {run_dir / LOGS}" in printed and "rollout worker 0" in printed


def test_stacks_of_every_process_of_this_node_are_printed(run_dir: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (run_dir / LOGS / "rollout-worker-0.json").unlink()
    log = run_dir / LOGS / "reward-worker-0.log"
    with child(JOINED, env=os.environ | {LOG: str(log)}) as process:
        deadline = time.monotonic() + 20
        while not (log.is_file() and "ready" in log.read_text()):
            assert time.monotonic() < deadline
            time.sleep(0.05)
        assert main(["status", str(run_dir), "--stacks"]) == 0
        printed = capsys.readouterr().out
        assert f"--- reward worker 0, process {process.pid}" in printed and "in in_here" in printed
        assert "in test_stacks_of_every_process" in printed, "the driver's"
        os.kill(process.pid, signal.SIGSTOP)
        time.sleep(0.2)
        main(["status", str(run_dir), "--stacks"])
        assert "it is stopped" in capsys.readouterr().out


def test_what_is_no_run_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["status"]) == 2
    assert main(["status", str(tmp_path / "none")]) == 2
    assert main(["status", str(tmp_path)]) == 2
    (tmp_path / STATUS).write_text("[]")
    assert main(["status", str(tmp_path), "--json"]) == 2
    assert "Traceback" not in capsys.readouterr().err
