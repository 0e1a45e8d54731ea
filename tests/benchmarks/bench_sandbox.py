"""Executions a second and core, fully locked down, beside a plain ``python3`` subprocess, in one run.

    python -m tests.benchmarks.bench_sandbox [--seconds 5]

Prints a line for each way of running, and the ratios last.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import threading
import time
from collections.abc import Callable

from r1ray.sandbox.home import bubblewrap_problem
from r1ray.sandbox.job import Limits
from r1ray.sandbox.pool import Sandbox

PROGRAM = "print(sum(map(int, input().split())))"
STDIN = b"1 2 3\n"
LIMITS = Limits(cpu_s=4.0)
CALLS = 50


def measure(name: str, seconds: float, once: Callable[[], None]) -> list[float]:
    """Milliseconds of each call, for so many seconds on one core."""
    for _ in range(20):
        once()
    times = []
    end = time.perf_counter() + seconds
    while (start := time.perf_counter()) < end:
        once()
        times.append((time.perf_counter() - start) * 1e3)
    cuts = statistics.quantiles(times, n=100)
    print(
        f"{name:34} {len(times) / seconds:7.0f}/s  p50 {cuts[49]:6.2f} ms  p95 {cuts[94]:6.2f}  p99 {cuts[98]:6.2f}",
        flush=True,
    )
    return times


def plain(python: str) -> None:
    done = subprocess.run([python, "-c", PROGRAM], input=STDIN, capture_output=True)
    assert done.stdout == b"6\n"


def stdio(sandbox: Sandbox) -> None:
    assert sandbox.run_program("python", PROGRAM, LIMITS, stdin=STDIN).stdout == b"6\n"


def calls(sandbox: Sandbox) -> None:
    run = sandbox.run_calls("def add(a, b): return a + b", "add", [[n, n] for n in range(CALLS)], LIMITS, call_s=4.0)
    assert run.result.count(b"\n") == CALLS


def in_threads(sandbox: Sandbox, seconds: float) -> float:
    """Executions a second with one caller for each slot."""
    counts = [0] * sandbox.num_slots
    end = time.perf_counter() + seconds

    def work(index: int) -> None:
        while time.perf_counter() < end:
            stdio(sandbox)
            counts[index] += 1

    threads = [threading.Thread(target=work, args=(index,)) for index in range(sandbox.num_slots)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return sum(counts) / seconds


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--seconds", type=float, default=5.0)
    seconds = parser.parse_args().seconds
    cores = sorted(os.sched_getaffinity(0))
    os.sched_setaffinity(0, {cores[0]})  # one core for supervisor, zygote and program together
    base = measure("plain python3 subprocess", seconds, lambda: plain("/usr/bin/python3"))
    with Sandbox(mode="none", num_slots=1) as bare:
        fork = measure("zygote, no lock-down", seconds, lambda: stdio(bare))
    locked: list[float] = []
    for mode in ("landlock", "bubblewrap"):
        if mode == "bubblewrap" and bubblewrap_problem():
            print(f"bubblewrap: left out, {bubblewrap_problem()}")
            continue
        with Sandbox(mode=mode, num_slots=1) as sandbox:
            locked = measure(f"zygote, {mode}, locked down", seconds, lambda s=sandbox: stdio(s))  # type: ignore[misc]
            batches = measure(f"{CALLS} function calls, {mode}", seconds, lambda s=sandbox: calls(s))  # type: ignore[misc]
    os.sched_setaffinity(0, set(cores))
    with Sandbox(num_slots=len(cores)) as everywhere:
        total = in_threads(everywhere, seconds)
    one = 1e3 * len(locked) / sum(locked)
    print(f"{len(cores)} slots on {len(cores)} cores: {total:.0f}/s, {total / one / len(cores):.2f} of linear")
    print(f"lock-down over a bare fork: {statistics.median(locked) - statistics.median(fork):.2f} ms (goal <= 1)")
    print(f"function-call cases: {CALLS * 1e3 * len(batches) / sum(batches):.0f}/s/core (goal >= 4000)")
    print(f"locked-down executions: {one:.0f}/s/core (goal >= 250); over plain python3: ", end="")
    print(f"{statistics.mean(base) / statistics.mean(locked):.2f}x")


if __name__ == "__main__":
    main()
