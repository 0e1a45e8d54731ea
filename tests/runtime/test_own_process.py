from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from r1ray.runtime import own_process
from r1ray.runtime.actor_status import read_actors, status_of
from r1ray.runtime.own_process import LOG, NODE, Name, OwnProcess, environment, join, name_in, part_of
from r1ray.runtime.stacks import ask_for_stacks
from tests.runtime.children import JOINED, child


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


@pytest.mark.parametrize("name", [Name("rollout worker", 12), Name("engine worker", 0, "3"), Name("rollout log", 0)])
def test_a_name_is_read_as_it_is_written(name: Name) -> None:
    assert Name.parse(str(name)) == name


def test_the_processes_of_an_engine_are_named_after_it() -> None:
    assert part_of(Name("rollout worker", 2), "EngineCore") == Name("engine core", 2)
    assert part_of(Name("rollout worker", 2), "VllmWorker-3") == Name("engine worker", 2, "3")
    assert part_of(Name("eval engine", 0), "EngineCore_DP0") == Name("eval engine core", 0)
    assert part_of(Name("judge engine", 1), "VllmWorker-0") == Name("judge engine worker", 1, "0")


def test_an_actors_environment_names_it_beside_the_drivers_log(driver: OwnProcess) -> None:
    given = environment(Name("reward worker", 3))
    assert given == {LOG: str(driver.log.with_name("reward-worker-3.log")), NODE: driver.process.node}
    assert name_in(given) == "reward-worker-3"


def test_without_a_run_nothing_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(LOG, raising=False)
    join()
    assert own_process.own() is None
    assert environment(Name("reward worker", 3)) == {} and name_in({}) == ""


def test_a_process_tells_of_itself_writes_its_stacks_and_is_found_stopped_and_dead(tmp_path: Path) -> None:
    log = tmp_path / "reward-worker-0.log"
    with child(JOINED, env=os.environ | {LOG: str(log)}) as process:
        wait_until(lambda: log.with_suffix(".json").is_file() and "ready" in log.read_text())
        (told,) = read_actors(log.parent)
        found = status_of(told)
        assert (found.role, found.index, found.pid, found.log) == ("reward worker", 0, process.pid, str(log))
        assert (found.state, found.waits_for) == ("running", "group 3/17")
        assert 0 <= found.since_s < 20
        assert "in in_here" in ask_for_stacks({process.pid: log})[process.pid]
        assert status_of(told).state == "running", "it lives on"
        os.kill(process.pid, signal.SIGSTOP)
        wait_until(lambda: status_of(told).state == "stopped")
    assert status_of(told).state == "dead"


def test_a_log_that_cannot_be_written_is_no_reason_to_fail(tmp_path: Path) -> None:
    program = "from r1ray.runtime.own_process import join, own\njoin()\nassert own() is None\nprint('fine')"
    env = os.environ | {LOG: str(tmp_path / "not on this node" / "reward-worker-0.log")}
    done = subprocess.run([sys.executable, "-c", program], env=env, capture_output=True, text=True, check=True)
    assert done.stdout == "fine\n" and not list(tmp_path.iterdir())


def test_a_forked_process_does_not_speak_for_the_one_that_it_comes_from(driver: OwnProcess) -> None:
    def told(answers: multiprocessing.queues.SimpleQueue[bool]) -> None:
        answers.put(own_process.own() is None)

    answers = multiprocessing.get_context("fork").SimpleQueue()
    process = multiprocessing.get_context("fork").Process(target=told, args=(answers,))
    process.start()
    assert answers.get()
    process.join()
