from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from r1ray.config.environment import AgentsConfig
from r1ray.environments.agents.usage import exact_mib, memory_mib, tree
from r1ray.environments.agents.walls import Walls
from tests.environments.agents.test_process import lives, pids_in, run
from tests.environments.agents.test_walls import PYTHON, walls

FORKS = """
import mmap, os, time
held = HELD
for _ in range(3):
    os.fork() or time.sleep(300)
print(flush=True)
"""
"""A process of 80 MiB, its own or of shared memory, with three children that share these."""


@contextmanager
def started(script: str) -> Iterator[int]:
    """Start a script, and wait until it prints."""
    process = subprocess.Popen([sys.executable, "-c", script + "time.sleep(300)"], stdout=subprocess.PIPE)
    try:
        assert process.stdout is not None
        process.stdout.readline()
        yield process.pid
    finally:
        for pid in reversed(tree(process.pid)):
            os.kill(pid, 9)
        process.communicate()


@pytest.mark.parametrize(
    ("held", "for_each"),
    [("bytearray(80 << 20)", 320), ("mmap.mmap(-1, 80 << 20); held.write(bytes(80 << 20))", 80)],
)
def test_what_processes_share_counts_once(held: str, for_each: int) -> None:
    with started(FORKS.replace("HELD", held)) as root:
        pids = tree(root)
        assert len(pids) == 4 and set(pids) == {root, *pids[1:]}
        assert 80 < exact_mib(pids) < 160
        assert memory_mib(pids) > for_each, "each for itself, as far as it has touched it"


def test_processes_that_are_gone_have_nothing() -> None:
    gone = subprocess.Popen(["true"])
    gone.wait()
    assert tree(gone.pid) == [gone.pid] and memory_mib([gone.pid]) == exact_mib([gone.pid]) == 0.0


@pytest.fixture(params=["none", "bubblewrap"])
def kind(request: pytest.FixtureRequest) -> Walls:
    return Walls() if request.param == "none" else walls(request.param)


def test_a_command_that_takes_more_memory_than_it_may_is_ended_with_all_its_processes(
    folder: Path, kind: Walls
) -> None:
    """Two processes of 60 MiB, each below the limit."""
    script = "import time; held = bytearray(60 << 20); time.sleep(300)"
    limits = AgentsConfig(memory_mib=100)
    ended = run(folder, f'{PYTHON} -c "{script}" & {PYTHON} -c "{script}"; wait', walls=kind, limits=limits)
    assert ended.code is None and "MiB of memory, more than environment.agents.memory_mib=100" in ended.over


def test_a_command_with_more_processes_than_it_may_have_is_ended_with_all_of_them(folder: Path, kind: Walls) -> None:
    script = "for each in 1 2 3 4 5; do sleep 300 & echo $! >> pids; done; wait"
    ended = run(folder, script, walls=kind, limits=AgentsConfig(processes=5))
    assert ended.code is None and ended.over == "it had 6 processes, more than environment.agents.processes=5"
    assert len(pids_in(folder / "work" / "pids")) == 5
    if not kind.has_own_network:
        assert not any(map(lives, pids_in(folder / "work" / "pids")))


def test_a_command_within_its_limits_is_left_alone(folder: Path, kind: Walls) -> None:
    script = f'{PYTHON} -c "import time; held = bytearray(60 << 20); time.sleep(1.2)" & sleep 1.2; wait; exit 7'
    ended = run(folder, script, walls=kind, limits=AgentsConfig(memory_mib=200, processes=4))
    assert (ended.code, ended.over) == (7, "")


def test_processes_without_end_are_ended_with_their_command(folder: Path, kind: Walls) -> None:
    ended = run(folder, "f() { sleep 300 & f; }; f", walls=kind, limits=AgentsConfig(processes=40))
    assert ended.code is None and "more than environment.agents.processes=40" in ended.over
