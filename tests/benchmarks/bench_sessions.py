"""256 sessions of the code interpreter at once: memory of each, milliseconds of a start and of a cell.

    python -m tests.benchmarks.bench_sessions [--sessions 256] [--cells 8] [--mode auto]

Every session runs all cells, all sessions at a time; each cell's answer is compared with what it has to be.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import statistics
import time
from pathlib import Path

from r1ray.sandbox.session import Session
from r1ray.sandbox.sessions import Sessions, start_sessions
from tests.sandbox.outside import tree_of

MIB = 1 << 20


def memory_mib(pids: list[int]) -> tuple[float, float]:
    """Memory of these processes alone, and with their share of what they share, in the mean."""
    private, share = [], []
    for pid in pids:
        rows = dict(line.split(":", 1) for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:])
        kib = {name: int(value.split()[0]) for name, value in rows.items()}
        private.append(kib["Private_Dirty"] + kib["Private_Clean"])
        share.append(kib["Pss"])
    return statistics.mean(private) / 1024, statistics.mean(share) / 1024


async def cells_of(sessions: Sessions, session: Session, number: int, cells: int, times: list[float]) -> None:
    await sessions.run(session, f"total = {number}")
    for cell in range(cells):
        start = time.perf_counter()
        done = await sessions.run(session, "import math\ntotal += math.comb(5, 2)\ntotal")
        times.append((time.perf_counter() - start) * 1e3)
        assert done.output == f"{number + 10 * (cell + 1)}\n", done


async def measure(num: int, cells: int, mode: str) -> None:
    start = time.perf_counter()
    sessions = await start_sessions(mode=mode, max_idle=num)
    print(f"{sessions.mode}: host and self-test in {time.perf_counter() - start:.2f} s")
    start = time.perf_counter()
    opened = [await sessions.open() for _ in range(num)]
    each_ms = (time.perf_counter() - start) / num * 1e3
    times: list[float] = []
    start = time.perf_counter()
    await asyncio.gather(*(cells_of(sessions, each, n, cells, times) for n, each in enumerate(opened)))
    wall = time.perf_counter() - start
    children = [pid for pid in tree_of(os.getpid()) if _name(pid).startswith("State:\tT")]
    private, share = memory_mib(children)
    print(f"{num} sessions: {each_ms:.1f} ms a start; {private:.1f} MiB each by itself, {share:.1f} with its share")
    first = opened[0]
    alone: list[float] = []
    await cells_of(sessions, first, 0, 200, alone)
    print(f"a cell of one session: {statistics.median(alone):.2f} ms at the median")
    print(f"{num} x {cells} cells at once: {len(times) / wall:.0f}/s, {statistics.median(times):.0f} ms at the median")
    start = time.perf_counter()
    await sessions.close()
    print(f"closed in {time.perf_counter() - start:.2f} s")


def _name(pid: int) -> str:
    return next(line for line in Path(f"/proc/{pid}/status").read_text().splitlines() if line.startswith("State"))


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--sessions", type=int, default=256)
    parser.add_argument("--cells", type=int, default=8)
    parser.add_argument("--mode", default="auto")
    given = parser.parse_args()
    asyncio.run(measure(given.sessions, given.cells, given.mode))
