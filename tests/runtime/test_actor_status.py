from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from r1ray.runtime.actor_status import explained, read_actors, read_told, status_of, suspects
from r1ray.runtime.own_process import LOG, Name, OwnProcess


def test_a_dead_process_shows_the_last_error_of_its_log(tmp_path: Path) -> None:
    log = tmp_path / "learner-rank-1.log"
    program = "from r1ray.runtime.own_process import join, own\njoin()\nown().write()\nraise ValueError('planted')"
    subprocess.run([sys.executable, "-c", program], env=os.environ | {LOG: str(log)}, check=False)
    (told,) = read_actors(tmp_path)
    assert (status_of(told).state, status_of(told).last_error) == ("dead", "ValueError: planted")


def test_a_file_that_is_torn_or_of_something_else_is_no_status(tmp_path: Path) -> None:
    for number, text in enumerate(("", "{", "[]", "5", "{}", '{"role": "driver"}', '{"process": 3}')):
        path = tmp_path / f"driver-{number}.json"
        path.write_text(text)
        assert read_told(path) is None, text
    assert read_actors(tmp_path) == []


def test_the_driver_is_told_who_may_be_at_fault(driver: OwnProcess, tmp_path: Path) -> None:
    for role, index in (("learner rank", 0), ("learner rank", 1), ("rollout worker", 0)):
        OwnProcess(Name(role, index), tmp_path / f"{Name(role, index)}.log").write()
    found = suspects("the learner group")
    assert [(each.role, each.index) for each in found] == [("learner rank", 0), ("learner rank", 1)]
    assert [each.role for each in suspects("group 0/8")] == ["rollout worker"]
    text = explained("the learner group", found)
    assert str(tmp_path / "learner-rank-1.log") in text and f"process {os.getpid()} on " in text
    path = tmp_path / "rollout-worker-0.json"
    value = json.loads(path.read_text())
    value["process"]["started"] -= 1  # another process: this one is dead
    path.write_text(json.dumps(value))
    assert [(each.role, each.state) for each in suspects("the learner group")] == [("rollout worker", "dead")]


def test_where_no_process_is_known_the_owner_is_named() -> None:
    assert suspects("the learner group") == []
    assert explained("the learner group", []) == "look at the log of the learner group."
