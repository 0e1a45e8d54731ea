from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from r1ray.config.environment import AgentsConfig
from r1ray.environments.agents import process
from r1ray.environments.agents.process import KEPT_BYTES, Ended, Order, run_command
from r1ray.environments.agents.walls import Walls
from r1ray.errors import InfrastructureError


def run(
    folder: Path,
    script: str,
    *,
    until: Callable[[], bool] | None = None,
    stop_s: float = 0.0,
    walls: Walls | None = None,
    limits: AgentsConfig | None = None,
) -> Ended:
    """Run a script of the shell, and stop it ``stop_s`` after something has come about."""

    async def both() -> Ended:
        stop = asyncio.Event()
        order = Order(
            command=["/bin/sh", "-c", script],
            folder=folder,
            environment={"PATH": os.environ["PATH"]},
            walls=walls or Walls(),
            limits=limits or AgentsConfig(),
        )
        running = asyncio.ensure_future(run_command(order, stop))
        if until is not None:
            while not until():
                await asyncio.sleep(0.01)
            await asyncio.sleep(stop_s)
            stop.set()
        return await running

    return asyncio.run(asyncio.wait_for(both(), 60))


def lives(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


def pids_in(path: Path) -> list[int]:
    return [int(word) for word in path.read_text().split()] if path.exists() else []


def test_a_command_ends_with_its_code_and_the_end_of_both_outputs(folder: Path) -> None:
    ended = run(folder, "echo said; echo failed >&2; pwd; exit 3")
    assert (ended.code, ended.output.decode()) == (3, f"said\nfailed\n{folder}/work\n")
    assert ended.num_bytes == len(ended.output)
    assert run(folder, "kill -9 $$").code == -9


def test_what_left_its_session_and_its_group_ends_with_the_command(folder: Path) -> None:
    pids = folder / "pids"
    nested = f"setsid sh -c 'echo $$ >> {pids}; (setsid sleep 300 & echo $! >> {pids}); sleep 300' &"
    wait = f"while [ $(cat {pids} 2>/dev/null | wc -l) -lt 2 ]; do sleep 0.02; done"
    assert run(folder, f"{nested} {wait}").code == 0
    assert len(pids_in(pids)) == 2 and not any(map(lives, pids_in(pids)))


def test_a_command_that_is_stopped_ends_with_all_that_it_started(folder: Path) -> None:
    pids = folder / "pids"
    script = f"trap '' TERM INT HUP; setsid sleep 300 & echo $! $$ > {pids}; while :; do sleep 1; done"
    ended = run(folder, script, until=lambda: len(pids_in(pids)) == 2)
    assert ended.code is None and not any(map(lives, pids_in(pids)))


def test_a_command_that_kills_its_guard_ends_too(folder: Path) -> None:
    pids = folder / "pids"
    script = f"(setsid sleep 300 & echo $! > {pids}); kill -9 $PPID; sleep 300"
    ended = run(folder, script)
    assert ended.code is None and pids_in(pids) and not any(map(lives, pids_in(pids)))


def test_a_flood_is_cut_and_counted(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process, "FREE_BYTES", 1 << 20)
    begun = time.monotonic()
    ended = run(folder, "yes a line that never ends", until=lambda: time.monotonic() > begun + 0.5)
    assert ended.code is None and len(ended.output) == KEPT_BYTES and b"a line that never ends" in ended.output
    assert 1 << 20 < ended.num_bytes < 50 << 20, "it is read slowly after FREE_BYTES"


def test_what_cannot_be_started_is_the_machines_failure(folder: Path) -> None:
    order = Order(command=["/no/such/program"], folder=folder, walls=Walls())
    with pytest.raises(InfrastructureError, match=r"/no/such/program could not be started.*No such file"):
        asyncio.run(run_command(order, asyncio.Event()))


def test_a_cancellation_ends_the_command(folder: Path) -> None:
    pids = folder / "pids"

    async def cancelled() -> None:
        order = Order(command=["/bin/sh", "-c", f"echo $$ > {pids}; sleep 300"], folder=folder, walls=Walls())
        running = asyncio.ensure_future(run_command(order, asyncio.Event()))
        while not pids_in(pids):
            await asyncio.sleep(0.01)
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running

    asyncio.run(asyncio.wait_for(cancelled(), 60))
    assert not any(map(lives, pids_in(pids)))


def test_its_environment_and_its_descriptors_are_those_of_the_order(folder: Path) -> None:
    ended = run(folder, "env; ls /proc/$$/fd; cat")
    lines = ended.output.decode().split("\n")
    assert {line.partition("=")[0] for line in lines if "=" in line} == {"PATH", "PWD", "R1RAY_AGENT"}
    assert {line for line in lines if line.isdigit()} <= {"0", "1", "2", "10"}
