"""The parts of the tests, one after the other, and how long each took: ``python -m tests.parts VERB``.

    test                unit, real, alone: what every change has to pass (the Makefile runs lint and types before)
    test-without-tools  the tests that use tools which a machine may lack, with those hidden: they skip, none fails
    test-faults         what kills or damages something, with that which ``test`` leaves out; 60 minutes at most. PART=2
                        in the environment: the second of its four parts alone
    test-long           what takes minutes: curves over three seeds, the whole recipe, commands of READMEs; 80 minutes
                        at most
    bench               r1ray beside what it replaces; 30 minutes at most
    soak                the quickstart with a fault every twenty seconds, of MINUTES (20) without any

A part that fails does not keep the next one from running. The exit code is 1 where one failed, 124 where the limit
ended one.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
GRACE_S = 60.0
"""Time that a part has to end what it started, when the limit ends it."""
TIME_IS_UP = 124
SLOWEST = (
    "faults/test_killed.py",
    *(
        f"real/test_{name}.py"
        for name in ("graph", "run", "code", "learner", "doctor", "collectives", "evaluation", "publish", "supervised")
    ),
)
"""Files of the real parts that are begun first, so that both workers end at about the same time."""
SLOWEST_TESTS = ("--durations=10", "--durations-min=5")
"""Every part says which of its tests took longest."""
REAL = "tests/real"
"""Every test in its files is marked so."""
FAULTS = {
    "killed": ("killed", "turns"),
    "stopped": ("stopped",),
    "ended": ("ended", "nodes"),
}
"""Parts of the fault matrix, and their files ``tests/faults/test_*.py``; the fourth part is every other test."""
USE_TOOLS = (
    "sandbox",
    "reward",
    "evaluation/benchmarks",
    "k8s",
    "page",
    "mirror",
    "test_tools.py",
    "evaluation/test_score_file.py",
)
"""Below tests/: whose tests use tools that a machine may lack."""


@dataclass(frozen=True)
class Part:
    """One process: ``python`` with ``arguments``."""

    name: str
    arguments: tuple[str, ...]
    goal_min: float | None = None


@dataclass(frozen=True)
class Verb:
    """Parts that ``make`` runs under one name."""

    parts: Sequence[Part]
    limit_min: float | None = None


def files_marked(mark: str) -> list[str]:
    """The test files that name a mark, the slowest first. Collecting the others would cost their imports, and find
    nothing."""
    first = [ROOT / "tests" / name for name in SLOWEST]
    files = [*first, *(path for path in sorted((ROOT / "tests").rglob("test_*.py")) if path not in first)]
    return [str(path.relative_to(ROOT)) for path in files if f"mark.{mark}" in path.read_text()]


def tests(name: str, marks: str, *options: str, of: str = "", goal_min: float | None = None) -> Part:
    """The tests with ``marks``, all of them in files that name the mark ``of``."""
    return Part(
        name, ("-m", "pytest", *SLOWEST_TESTS, *options, "-m", marks, *(files_marked(of) if of else ())), goal_min
    )


def make_verbs() -> dict[str, Verb]:
    two = ("-n", "2", "--dist")
    # On the real parts each file stays with one of the two workers: its tests share runs and clusters.
    by_file = (*two, "loadfile", "--no-loadscope-reorder")
    tooled = [f"tests/{name}" for name in USE_TOOLS]
    benches = sorted(path.stem for path in (ROOT / "tests" / "benchmarks").glob("bench_*.py"))
    return {
        "test": Verb(
            (
                # Collecting REAL would import vLLM into both workers, for no test of this part.
                tests("unit", "not (real or alone or long)", f"--ignore={REAL}", *two, "worksteal", goal_min=7),
                tests("real", "real and not long", *by_file, of="real", goal_min=10),
                tests("alone", "alone and not long", of="alone", goal_min=3),
            )
        ),
        "test-without-tools": Verb((tests("without tools", "not long", "--hide-tools", *two, "worksteal", *tooled),)),
        "test-faults": Verb(chosen(fault_parts(), os.environ.get("PART")), limit_min=60),
        "test-long": Verb((tests("long", "long and not faults", "-s", "--durations=0", of="long"),), limit_min=80),
        "bench": Verb(
            [Part(name, ("-W", "ignore", "-m", f"tests.benchmarks.{name}")) for name in benches], limit_min=30
        ),
        "soak": Verb([Part("soak", ("-W", "ignore", "-m", "tests.faults.soak", os.environ.get("MINUTES", "20")))]),
    }


def fault_parts() -> tuple[Part, ...]:
    """The parts of ``make test-faults``."""
    folder = "tests/faults/test_"
    matrix = {name: [f"{folder}{file}.py" for file in files] for name, files in FAULTS.items()}
    others = [path for path in files_marked("faults") if not path.startswith(folder)]
    run = ("-m", "pytest", *SLOWEST_TESTS, "--durations=0", "-m", "faults")
    by_two = ("-n", "2", "--dist", "worksteal")  # they wait for most of the time
    parts = [Part(name, (*run, *by_two, *files)) for name, files in matrix.items()]
    return (*parts, Part("others", (*run, *others)))


def chosen(parts: Sequence[Part], number: str | None) -> Sequence[Part]:
    """Return the part with a number, from 1; all of them without one."""
    if not number:
        return parts
    numbers = [str(each) for each in range(1, len(parts) + 1)]
    if number not in numbers:
        sys.exit(f"PART={number}: needs to be one of {', '.join(numbers)}.")
    return [parts[int(number) - 1]]


def run_part(part: Part, *, until: float | None) -> int:
    """Run it to its end, or to ``until`` on the monotonic clock; returns its exit code, or TIME_IS_UP."""
    process = subprocess.Popen([sys.executable, *part.arguments], cwd=ROOT, start_new_session=True)
    try:
        return process.wait(None if until is None else max(0.0, until - time.monotonic()))
    except subprocess.TimeoutExpired:
        return TIME_IS_UP
    finally:
        _end(process)


def _end(process: subprocess.Popen[bytes]) -> None:
    """End it where it still runs: by an interrupt, on which tests end what they started, then without mercy."""
    for sign, wait_s in ((signal.SIGINT, GRACE_S), (signal.SIGKILL, None)):
        if process.poll() is None:
            os.killpg(process.pid, sign)
            try:
                process.wait(wait_s)
            except subprocess.TimeoutExpired:
                continue


def clock(seconds: float) -> str:
    return f"{int(seconds) // 60}:{int(seconds) % 60:02d}"


def run(name: str, verb: Verb) -> int:
    """Run the parts, print how long each took, and return the exit code."""
    began = time.monotonic()
    until = None if verb.limit_min is None else began + 60 * verb.limit_min
    rows, codes = [], [0]
    for part in verb.parts:
        started = time.monotonic()
        codes.append(run_part(part, until=until))
        ended = {0: "passed", TIME_IS_UP: f"ended by the limit of {verb.limit_min or 0:g} minutes"}
        goal = f"  (goal {part.goal_min:g}:00)" if part.goal_min else ""
        rows.append(f"{part.name:<22}{clock(time.monotonic() - started):>6}{goal}  {ended.get(codes[-1], 'FAILED')}")
        if codes[-1] == TIME_IS_UP:
            break
    rows.append(f"{'make ' + name:<22}{clock(time.monotonic() - began):>6}")
    print("", *rows, sep="\n", flush=True)
    return TIME_IS_UP if TIME_IS_UP in codes else min(1, max(map(abs, codes)))


if __name__ == "__main__":
    sys.exit(run(sys.argv[1], make_verbs()[sys.argv[1]]))
