"""``make test`` and its sisters: what they run, and what ends them."""

from __future__ import annotations

import re
import time
from pathlib import Path

import psutil
import pytest

from tests import parts
from tests.parts import TIME_IS_UP, Part, Verb, clock, files_marked, make_verbs, run

MARKED = re.compile(r"^pytestmark = .*\bmark\.real\b", re.MULTILINE)


def python(name: str, program: str) -> Part:
    return Part(name, ("-c", program))


def is_alive(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def test_every_part_runs_although_one_before_it_failed(capfd: pytest.CaptureFixture[str]) -> None:
    assert run("test", Verb([python("unit", "raise SystemExit(3)"), python("real", "print('there')")])) == 1
    *_, unit, real, total = capfd.readouterr().out.splitlines()
    assert unit.startswith("unit") and unit.endswith("FAILED")
    assert real.startswith("real") and real.endswith("passed")
    assert total.startswith("make test")


def test_the_unit_part_leaves_out_no_test_but_real_ones() -> None:
    files = [*(parts.ROOT / parts.REAL).rglob("test_*.py")]
    assert files and [path.name for path in files if not MARKED.search(path.read_text())] == []


def test_parts_that_pass_end_with_0() -> None:
    assert run("test", Verb([python("unit", "pass"), python("real", "pass")])) == 0


def test_a_part_that_a_signal_ended_has_failed() -> None:
    assert run("test", Verb([python("unit", "import os; os.kill(os.getpid(), 9)")])) == 1


def test_the_limit_ends_a_part_with_all_that_is_in_its_session(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(parts, "GRACE_S", 0.1)
    pid = tmp_path / "pid"
    program = (
        "import os, signal, subprocess, sys, time; signal.signal(signal.SIGINT, signal.SIG_IGN);"
        "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)']);"
        f"open({str(pid)!r}, 'w').write(str(child.pid)); time.sleep(600)"
    )
    assert run("test-long", Verb([python("long", program), python("never", "1 / 0")], limit_min=3 / 60)) == TIME_IS_UP
    printed = capfd.readouterr().out
    assert "ended by the limit" in printed and "never" not in printed
    deadline = time.monotonic() + 60
    while is_alive(int(pid.read_text())):
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_time_is_told_in_minutes_and_seconds() -> None:
    assert [clock(0.9), clock(61), clock(3600)] == ["0:00", "1:01", "60:00"]


def test_the_files_of_a_part_are_those_that_name_its_mark() -> None:
    real = files_marked("real")
    assert "tests/real/test_run.py" in real and "tests/algo/test_grpo.py" not in real
    assert "tests/real/test_run.py" in make_verbs()["test"].parts[1].arguments


def test_every_benchmark_is_run_by_make_bench() -> None:
    there = {f"tests.benchmarks.{path.stem}" for path in Path(parts.__file__).parent.glob("benchmarks/bench_*.py")}
    assert there == {part.arguments[-1] for part in make_verbs()["bench"].parts} and len(there) >= 5


def test_every_file_of_the_fault_matrix_is_in_one_part_and_a_part_can_be_chosen() -> None:
    made = parts.fault_parts()
    files = [argument for part in made for argument in part.arguments if argument.endswith(".py")]
    assert sorted(files) == sorted(files_marked("faults"))
    assert [part.name for part in parts.chosen(made, "2")] == ["stopped"]
    assert parts.chosen(made, None) == made
    with pytest.raises(SystemExit, match="PART=5: needs to be one of 1, 2, 3, 4"):
        parts.chosen(made, "5")


def test_the_longer_verbs_have_limits() -> None:
    limits = {name: verb.limit_min for name, verb in make_verbs().items() if verb.limit_min is not None}
    assert limits == {"test-faults": 60, "test-long": 80, "bench": 30}
