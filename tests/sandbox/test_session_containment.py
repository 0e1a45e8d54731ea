"""Hostile cells get nothing, harm nothing, and cost their own session at most. In each mode of isolation."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from _pytest.mark import ParameterSet

from r1ray.sandbox.cell import Cell
from r1ray.sandbox.home import Home
from r1ray.sandbox.probes import session_test
from r1ray.sandbox.session_slot import SessionLimits
from r1ray.sandbox.sessions import Sessions, start_sessions
from tests import tools
from tests.sandbox.cases import CONTAINED
from tests.sandbox.outside import RESOURCES, SECRET, Outside, survivors
from tests.sandbox.session_cases import HOSTILE, SLOW, Hostile
from tests.sandbox.test_containment import _shared_cases
from tests.sandbox.test_pool import wait_until

LIMITS = SessionLimits(cpu_s=0.4, wall_s=1.5, total_cpu_s=20.0, memory_mib=256, output_kib=16, file_kib=2048)
OWN = re.compile(r"ESCAPED[: ](x|temporary|write (\./|.*/[0-9a-f]{16}/)pwn|fd [34])$")
"""What the cases of programs take for an escape: a session has files of its own, and its pipes."""
GOES_ON = ("waiting thread",)
"""A thread that nobody waits for ends with the session."""
QUICK = ("files", "network", "processes", "kernel")
PROGRAMS = [row for row in (*CONTAINED, *_shared_cases()) if row["language"] == "python" and "kind" not in row]


@pytest.fixture(scope="module", params=["bubblewrap", pytest.param("landlock", marks=pytest.mark.long)])
def sessions(request: pytest.FixtureRequest) -> Iterator[Sessions]:
    tools.require(request.param)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("r1ray.sandbox.cell_clock.AGAIN_S", 0.3)
        made = asyncio.run(start_sessions(mode=request.param, limits=LIMITS))
        yield made
        asyncio.run(made.close())


def harm(outside: Outside, sessions: Sessions) -> list[str]:
    """What is not as it was, once no session is open."""
    assert sessions._host is not None
    host: Any = SimpleNamespace(slots=(sessions._host,), uid_base=sessions._home.settings.uid_base)
    wait_until(lambda: survivors(host) == [])  # what removes a session's folder ends by itself
    return outside.harm(host)


async def run_all(sessions: Sessions, *sources: str) -> list[Cell]:
    session = await sessions.open()
    try:
        return [await sessions.run(session, source) for source in sources]
    finally:
        await sessions.end(session)


def long(name: str, is_quick: bool, case: object) -> ParameterSet:
    """Return a case, which ``make test`` leaves to ``make test-long`` where it is not quick."""
    return pytest.param(case, id=name, marks=[] if is_quick else [pytest.mark.long])


@pytest.mark.parametrize("case", [long(case.name, case.name not in SLOW, case) for case in HOSTILE])
def test_a_hostile_cell_costs_its_own_session_at_most(case: Hostile, sessions: Sessions, outside: Outside) -> None:
    async def scenario() -> tuple[Cell, Cell, Cell, Cell]:
        neighbour = await sessions.open()
        before = await sessions.run(neighbour, "mine = 5")
        _, cell, after = await run_all(sessions, "kept = 7", case.source, "kept")
        beside = await sessions.run(neighbour, "mine")
        await sessions.end(neighbour)
        return before, cell, after, beside

    _, cell, after, beside = asyncio.run(scenario())
    assert cell.ended in case.ended, cell
    assert case.why in cell.why, cell
    assert "ESCAPED" not in cell.output and len(cell.output) <= LIMITS.output_kib * 1024
    if case.is_kept:
        assert (after.ended, after.output) == ("done", "7\n"), after
    assert (beside.ended, beside.output) == ("done", "5\n")
    assert harm(outside, sessions) == []


@pytest.mark.parametrize("row", [long(row["id"], row["id"] in QUICK, row) for row in PROGRAMS])
def test_a_program_that_is_contained_is_so_as_a_cell(row: dict[str, Any], sessions: Sessions, outside: Outside) -> None:
    cell, other = asyncio.run(run_in_two(sessions, outside.fill(row["code"])))
    assert [line for line in cell.output.splitlines() if line.startswith("ESCAPED") and not OWN.match(line)] == []
    assert SECRET not in cell.output
    if row in CONTAINED and row["expect"] in RESOURCES and row["id"] not in GOES_ON:
        assert cell.ended != "done"
    assert other.output == "42\n"
    assert harm(outside, sessions) == []


async def run_in_two(sessions: Sessions, source: str) -> tuple[Cell, Cell]:
    (cell,) = await run_all(sessions, source)
    (other,) = await run_all(sessions, "6 * 7")
    return cell, other


@pytest.mark.long
@pytest.mark.needs("bubblewrap")
def test_without_landlock_sessions_have_no_files_and_are_kept_apart_all_the_same() -> None:
    async def scenario() -> tuple[Cell, Cell]:
        home = await asyncio.to_thread(Home, num_users=1, mode="bubblewrap", max_landlock_abi=0, sessions=True)
        made = Sessions(home, LIMITS, max_idle=4)
        try:
            await session_test(made)
            first, second = await run_all(made, "x = 1", "open('x', 'w')")
            return first, second
        finally:
            await made.close()

    first, second = asyncio.run(scenario())
    assert (first.ended, second.ended) == ("done", "raised")
    assert "PermissionError" in second.output or "Read-only" in second.output
