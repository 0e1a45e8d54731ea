"""Sessions keep what cells define, are stopped between them, and end alone."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import TypeVar

import pytest

from r1ray.errors import InfrastructureError, MachineTooBusy
from r1ray.sandbox.cell import Cell
from r1ray.sandbox.session import GIVEN_UP, MOST_SOURCE, NOT_RUN, Session
from r1ray.sandbox.session_slot import SessionLimits
from r1ray.sandbox.sessions import HEAVY, IDLE, Sessions, start_sessions
from tests import tools
from tests.sandbox.outside import tree_of
from tests.sandbox.test_pool import alive, wait_until

pytestmark = pytest.mark.needs("isolation")

T = TypeVar("T")
LIMITS = SessionLimits(cpu_s=0.4, wall_s=1.0, output_kib=16)


@pytest.fixture(scope="module")
def sessions() -> Iterator[Sessions]:
    made = asyncio.run(start_sessions(limits=LIMITS))
    yield made
    asyncio.run(made.close())


def in_one(sessions: Sessions, work: Callable[[Session], Awaitable[T]]) -> T:
    """Return what ``work`` does with a session."""

    async def scenario() -> T:
        session = await sessions.open()
        try:
            return await work(session)
        finally:
            await sessions.end(session)

    return asyncio.run(scenario())


def outputs(sessions: Sessions, *sources: str) -> list[Cell]:
    async def work(session: Session) -> list[Cell]:
        return [await sessions.run(session, source) for source in sources]

    return in_one(sessions, work)


@pytest.mark.parametrize(
    ("sources", "output"),
    [
        (("x = 20\nx + 1", "x * 2 + 2"), "42\n"),
        (("import math", "def f(n): return math.comb(n, 2)", "f(5)"), "10\n"),
        (("print('a')\n'b'",), "a\n'b'\n"),
        (("x = None\nx",), ""),
        (("",), ""),
        (("# nothing",), ""),
        (("6 * 7", "_ + 0"), "42\n"),
        (("class A:\n    def __init__(self): self.x = 1\n", "A().x"), "1\n"),
        (("from __future__ import annotations\ndef f(x: Nothing): return x", "f(3)"), "3\n"),
        (("open('f', 'w').write('hi')", "open('f').read()"), "'hi'\n"),
        (("open('mine.py', 'w').write('y = 5')", "import mine\nmine.y"), "5\n"),
        (("import sys\nprint('e', file=sys.stderr)\nprint('o')",), "e\no\n"),
        (("import pickle\nclass P: pass\ntype(pickle.loads(pickle.dumps(P()))).__name__",), "'P'\n"),
        (("import asyncio\nasync def f(): return 3\nasyncio.run(f())",), "3\n"),
        (("import threading\nt = threading.Thread(target=print, args=(2,))\nt.start()\nt.join()",), "2\n"),
        (("import tempfile\nwith tempfile.TemporaryFile() as f: print(f.write(b'abc'))",), "3\n"),
        (("print('日本é')",), "日本é\n"),
        (("exit()", "'here'"), "'here'\n"),
    ],
)
def test_cells_of_a_session_share_what_they_define(sessions: Sessions, sources: tuple[str, ...], output: str) -> None:
    cells = outputs(sessions, *sources)
    assert [cell.ended for cell in cells] == ["done"] * len(sources), cells
    assert cells[-1].output == output


def test_a_traceback_shows_the_cell_and_nothing_of_the_interpreter(sessions: Sessions) -> None:
    _, cell = outputs(sessions, "def f(x):\n    return 1 / x\n", "f(0)")
    assert cell.ended == "raised"
    assert cell.output == (
        "Traceback (most recent call last):\n"
        '  File "<cell 2>", line 1, in <module>\n    f(0)\n'
        '  File "<cell 1>", line 2, in f\n    return 1 / x\n           ~~^~~\n'
        "ZeroDivisionError: division by zero\n"
    )


def test_a_mistake_in_the_source_is_told(sessions: Sessions) -> None:
    (cell,) = outputs(sessions, "x = = 1")
    assert cell.ended == "raised" and "SyntaxError: invalid syntax" in cell.output


def test_a_cell_that_is_too_long_is_not_run(sessions: Sessions) -> None:
    long, after = outputs(sessions, "x = 1\n" + "#" * MOST_SOURCE, "x")
    assert long.ended == "raised" and "It was not run." in long.output
    assert "NameError" in after.output


def test_a_cell_whose_time_is_up_is_interrupted_and_the_state_is_kept(sessions: Sessions) -> None:
    cells = outputs(sessions, "x = 1", "while True: pass", "import time\ntime.sleep(100)", "x")
    assert [cell.ended for cell in cells] == ["done", "cpu", "wall", "done"]
    assert "KeyboardInterrupt: the time of this cell is up" in cells[1].output


def test_output_is_cut_and_the_state_is_kept(sessions: Sessions) -> None:
    _, cell, after = outputs(sessions, "x = 1", "for n in range(10**6): print(n)", "x")
    assert cell.ended == "raised" and cell.output.startswith("0\n1\n") and "OutputTooLong" in cell.output
    assert len(cell.output) <= LIMITS.output_kib * 1024
    assert after.output == "1\n"


def test_between_cells_a_session_computes_nothing(sessions: Sessions) -> None:
    spin = "import threading\ndef spin():\n    while True: pass\nthreading.Thread(target=spin, daemon=True).start()\n"

    async def work(session: Session) -> tuple[float, float, Cell]:
        assert (await sessions.run(session, spin + "x = 1")).ended == "done"
        await asyncio.to_thread(wait_until, lambda: is_stopped(session), 10.0)
        before = session._times.computed()
        await asyncio.sleep(0.3)
        return before, session._times.computed(), await sessions.run(session, "x")

    before, after, cell = in_one(sessions, work)
    assert before > 0 and after == before
    assert cell.output == "1\n"


def is_stopped(session: Session) -> bool:
    threads = Path(f"/proc/{session._times._pid}/task").glob("*/status")
    return all("State:\tT" in each.read_text() for each in threads)


def test_calls_at_the_same_time_are_run_one_after_the_other(sessions: Sessions) -> None:
    async def work(session: Session) -> list[Cell]:
        await sessions.run(session, "x = 0")
        step = "y = x\nimport time\ntime.sleep(0.05)\nx = y + 1\nx"
        return list(await asyncio.gather(*(sessions.run(session, step) for _ in range(3))))

    assert [cell.output for cell in in_one(sessions, work)] == ["1\n", "2\n", "3\n"]


def test_a_cell_that_nobody_waits_for_any_more_ends_its_session(sessions: Sessions) -> None:
    async def work(session: Session) -> Cell:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(sessions.run(session, "import time\ntime.sleep(60)"), 0.2)
        return await sessions.run(session, "1")

    assert in_one(sessions, work) == Cell("lost", "", f"{GIVEN_UP}. {NOT_RUN}")


def test_a_session_may_be_ended_while_its_cell_runs(sessions: Sessions) -> None:
    async def work(session: Session) -> Cell:
        running = asyncio.create_task(sessions.run(session, "import time\ntime.sleep(60)"))
        await asyncio.sleep(0.1)
        await sessions.end(session)
        return await running

    assert in_one(sessions, work) == Cell("lost", "", "it was closed")


@pytest.mark.long
def test_processor_time_of_all_cells_has_a_limit() -> None:
    async def scenario() -> Cell:
        made = await start_sessions(limits=SessionLimits(cpu_s=5.0, wall_s=30.0, total_cpu_s=1.0))
        try:
            return await made.run(await made.open(), "while True: pass")
        finally:
            await made.close()

    cell = asyncio.run(scenario())
    assert (cell.ended, cell.why) == ("lost", "all its cells together had computed for 1 s")


def test_the_longest_idle_sessions_are_closed_and_told_so(
    sessions: Sessions, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(sessions, "max_idle", 2)
    monkeypatch.setattr(sessions, "_has_warned", False)

    async def scenario() -> tuple[list[Cell], int]:
        opened = [await sessions.open() for _ in range(2)]
        await sessions.run(opened[0], "x = 0")
        opened.append(await sessions.open())  # the second has been idle for longest
        cells = [await sessions.run(session, "'here'") for session in opened]
        idle = sessions.num_idle
        for session in opened:
            await sessions.end(session)
        return cells, idle

    cells, idle = asyncio.run(scenario())
    assert [cell.ended for cell in cells] == ["done", "lost", "done"]
    assert cells[1].why == f"{IDLE}. {NOT_RUN}" and idle == 2
    assert [record.getMessage() for record in caplog.records if "max_idle" in record.getMessage()], "it is said once"


def test_the_heaviest_idle_session_is_closed_where_all_hold_too_much_memory(
    sessions: Sessions, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sessions, "max_idle", 3)

    async def scenario() -> list[Cell]:
        opened = [await sessions.open() for _ in range(3)]
        for session, size in zip(opened, (20, 60, 40), strict=True):  # 96 MiB are allowed
            await sessions.run(session, f"x = bytearray(b'1' * ({size} << 20))")
        cells = [await sessions.run(session, "len(x) >> 20") for session in opened]
        for session in opened:
            await sessions.end(session)
        return cells

    first, heavy, last = asyncio.run(scenario())
    assert (first.output, last.output, heavy) == ("20\n", "40\n", Cell("lost", "", f"{HEAVY}. {NOT_RUN}"))


def test_a_machine_that_is_too_busy_is_an_error_of_the_machine(
    sessions: Sessions, monkeypatch: pytest.MonkeyPatch
) -> None:
    started = time.monotonic()
    queued = lambda proc, pidfd: (time.monotonic() - started, 0.0)  # noqa: E731
    monkeypatch.setattr("r1ray.sandbox.cell_clock.queued_s", queued)
    monkeypatch.setattr(sessions, "_limits", SessionLimits(wall_s=0.2, longest_s=0.5))

    async def work(session: Session) -> Cell:
        with pytest.raises(MachineTooBusy):
            await sessions.run(session, "import time\ntime.sleep(60)")
        return await sessions.run(session, "1")

    assert in_one(sessions, work).ended == "lost"


@pytest.mark.faults
@pytest.mark.parametrize("who", ["zygote", pytest.param("process", marks=pytest.mark.long)])
def test_sessions_of_a_killed_host_are_lost_by_no_fault_of_theirs_and_others_begin(who: str) -> None:
    async def scenario() -> tuple[list[int], Cell]:
        made = await start_sessions(limits=LIMITS)
        try:
            session = await made.open()
            assert made._host is not None
            host = made._host
            below = [host.zygote_pid, *tree_of(host.process_pid), host.process_pid]
            os.kill(host.zygote_pid if who == "zygote" else host.process_pid, signal.SIGKILL)
            await asyncio.to_thread(wait_until, lambda: not host.is_alive, 5.0)
            if host.is_alive:  # bubblewrap's outer process is not needed
                return [], await made.run(session, "6 * 7")
            with pytest.raises(InfrastructureError):
                await made.run(session, "1")
            return below, await made.run(await made.open(), "6 * 7")
        finally:
            await made.close()

    below, cell = asyncio.run(scenario())
    assert cell.output == "42\n"
    assert wait_until(lambda: not any(alive(pid) for pid in below))


SUPERVISOR = """
import asyncio, sys, time
from r1ray.sandbox.sessions import start_sessions
async def main():
    made = await start_sessions(mode=sys.argv[1])
    for number in range(3):
        session = await made.open()
    print(made._host.process_pid, flush=True)
    await made.run(session, "while True: pass")
asyncio.run(main())
"""


@pytest.mark.faults
@pytest.mark.parametrize("mode", ["bubblewrap", pytest.param("landlock", marks=pytest.mark.long)])
def test_a_killed_supervisor_leaves_no_session(mode: str) -> None:
    tools.require(mode)
    with subprocess.Popen([sys.executable, "-c", SUPERVISOR, mode], stdout=subprocess.PIPE, text=True) as supervisor:
        assert supervisor.stdout is not None
        host = int(supervisor.stdout.readline())
        below = [host, *tree_of(host)]
        assert len(below) >= 5
        supervisor.kill()
    assert wait_until(lambda: not any(alive(pid) for pid in below)), [pid for pid in below if alive(pid)]


@pytest.mark.long
@pytest.mark.parametrize("mode", ["bubblewrap", "landlock"])
def test_256_sessions_are_right_at_once_and_small(mode: str) -> None:
    tools.require(mode)

    async def scenario() -> tuple[list[str], float]:
        made = await start_sessions(mode=mode)
        try:
            opened = [await made.open() for _ in range(256)]
            await asyncio.gather(*(made.run(each, f"mine = {n}") for n, each in enumerate(opened)))
            cells = await asyncio.gather(*(made.run(each, "mine") for each in opened))
            return [cell.output for cell in cells], largest_mib(tree_of(os.getpid()))
        finally:
            await made.close()

    printed, largest = asyncio.run(scenario())
    assert printed == [f"{n}\n" for n in range(256)]
    assert largest <= 10


def largest_mib(pids: list[int]) -> float:
    """Memory of its own of the largest of the stopped processes."""
    found = []
    for pid in pids:
        if "State:\tT" in Path(f"/proc/{pid}/status").read_text():
            lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
            found.append(sum(int(line.split()[1]) for line in lines if line.startswith("Private_")))
    assert len(found) >= 256
    return max(found) / 1024


@pytest.mark.long
def test_packages_of_the_configuration_can_be_imported() -> None:
    async def scenario() -> Cell:
        made = await start_sessions(allowed=["numpy"])
        try:
            return await made.run(await made.open(), "import numpy as np\nint(np.arange(9).sum())")
        finally:
            await made.close()

    assert asyncio.run(scenario()).output == "36\n"


def test_without_isolation_sessions_run_and_that_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    async def scenario() -> Cell:
        made = await start_sessions(mode="none")
        try:
            return await made.run(await made.open(), "6 * 7")
        finally:
            await made.close()

    assert asyncio.run(scenario()).output == "42\n"
    assert "UNSAFE" in capsys.readouterr().err
