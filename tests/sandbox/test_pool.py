"""Slots that are killed, machines that are too busy, and what is left behind: nothing."""

from __future__ import annotations

import contextlib
import ctypes
import gc
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from r1ray.errors import InfrastructureError, MachineTooBusy, SandboxUnavailable
from r1ray.sandbox.home import UID_BASE, choose_mode, find_python, users_of_process
from r1ray.sandbox.job import Command, Limits, Run
from r1ray.sandbox.pool import Sandbox
from r1ray.sandbox.slot import Slot
from tests import tools
from tests.sandbox.cases import CONTAINED
from tests.sandbox.outside import LIMITS, Outside, complaints, shared_memory, survivors, tree_of

pytestmark = pytest.mark.needs("isolation")

MODES = ["bubblewrap", "landlock"]
SLEEP = "import time\nprint('started', flush=True)\ntime.sleep(60)\n"
BASH_TREE = "(setsid sleep 1000 &); sleep 1000 & sleep 1000\n"


def make(mode: str, num_slots: int = 1) -> Sandbox:
    tools.require(mode)
    return Sandbox(mode=mode, num_slots=num_slots)


@pytest.fixture(params=MODES)
def fresh(request: pytest.FixtureRequest) -> Iterator[Sandbox]:
    with make(request.param) as sandbox:
        yield sandbox


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


def wait_until(fact: Callable[[], bool], seconds: float = 60.0) -> bool:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if fact():
            return True
        time.sleep(0.05)
    return fact()


def in_the_background(run: Callable[[], Run]) -> tuple[threading.Thread, list[Run | Exception]]:
    results: list[Run | Exception] = []

    def work() -> None:
        try:
            results.append(run())
        except Exception as error:
            results.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    return thread, results


def kill_programs(sandbox: Sandbox) -> None:
    for slot in sandbox.slots:
        for pid in tree_of(slot.zygote_pid):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


def result_of(results: list[Run | Exception]) -> Run:
    """Return, or raise, the one result that there has to be."""
    (result,) = results
    if isinstance(result, Exception):
        raise result
    return result


@pytest.mark.faults
@pytest.mark.parametrize("who", ["zygote", "process"])
@pytest.mark.parametrize(
    ("language", "source"), [("python", SLEEP), tools.needing("bash", "bash", BASH_TREE)], ids=["python", "bash"]
)
def test_a_killed_slot_leaves_nothing_and_the_next_job_is_right(
    fresh: Sandbox, who: str, language: str, source: str
) -> None:
    (slot,) = fresh.slots
    thread, _ = in_the_background(lambda: fresh.run_program(language, source, LIMITS))
    assert wait_until(lambda: len(tree_of(slot.zygote_pid)) >= (1 if language == "python" else 3))
    below = [slot.zygote_pid, *tree_of(slot.zygote_pid), slot.process_pid]
    os.kill(slot.zygote_pid if who == "zygote" else slot.process_pid, signal.SIGKILL)
    # The job is run once more in another slot, and ends there.
    assert wait_until(lambda: kill_programs(fresh) or not thread.is_alive())
    assert fresh.run_program("python", "print(6*7)", LIMITS).stdout == b"42\n"
    if fresh.slots[0] is not slot:  # bubblewrap's outer process is not needed: the slot may have lived on
        assert wait_until(lambda: not any(alive(pid) for pid in below)), [pid for pid in below if alive(pid)]
    assert survivors(fresh) == []


SUPERVISOR = """
import sys, threading, time
from r1ray.sandbox.job import Limits
from r1ray.sandbox.pool import Sandbox
sandbox = Sandbox(mode=sys.argv[1], num_slots=1)
work = lambda: sandbox.run_program("bash", "(setsid sleep 1000 &); sleep 1000 & sleep 1000", Limits(cpu_s=60))
threading.Thread(target=work).start()
print(sandbox.slots[0].process_pid, sandbox.slots[0].zygote_pid, sandbox.folder, flush=True)
time.sleep(60)
"""


@pytest.mark.needs("bash")
@pytest.mark.faults
@pytest.mark.parametrize("mode", MODES)
def test_a_killed_supervisor_leaves_nothing(mode: str) -> None:
    make(mode).close()
    with subprocess.Popen([sys.executable, "-c", SUPERVISOR, mode], stdout=subprocess.PIPE, text=True) as supervisor:
        assert supervisor.stdout is not None
        process, zygote, folder = supervisor.stdout.readline().split()
        process, zygote = int(process), int(zygote)
        assert wait_until(lambda: len(tree_of(zygote)) >= 3)
        below = [process, zygote, *tree_of(process)]
        supervisor.kill()
    assert wait_until(lambda: not any(alive(pid) for pid in below)), [pid for pid in below if alive(pid)]
    with make(mode) as other:
        assert other.folder.exists()
        assert not Path(folder).exists()


def test_a_slot_made_in_a_thread_that_ends_lives_on() -> None:
    made: list[Sandbox] = []
    thread = threading.Thread(target=lambda: made.append(Sandbox(num_slots=1)))
    thread.start()
    thread.join()
    time.sleep(0.3)
    with made[0] as sandbox:
        assert sandbox.run_program("python", "print(1)", LIMITS).stdout == b"1\n"


@pytest.mark.needs("landlock")
@pytest.mark.faults
def test_a_stopped_zygote_is_replaced_by_the_second_wall_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("r1ray.sandbox.slot.GRACE_S", 0.5)
    with Sandbox(mode="landlock", num_slots=1) as sandbox:
        os.kill(sandbox.slots[0].zygote_pid, signal.SIGSTOP)
        thread, results = in_the_background(lambda: sandbox.run_program("python", "print(1)", Limits(cpu_s=0.2)))
        thread.join(100)
        assert result_of(results).stdout == b"1\n"


@pytest.fixture
def scripted(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Sandbox, list[str], list[str]]]:
    """A sandbox whose slot says how programs ended, from a list, and what it was asked."""
    ends: list[str] = []
    asked: list[str] = []
    with Sandbox(num_slots=1) as sandbox:

        def run_python(self: Slot, payload: dict[str, str], limits: Limits, **_: object) -> Run:
            asked.append(payload["source"])
            end = ends.pop(0)
            if end == "lost":
                raise InfrastructureError("planted")
            return Run(end, 0, b"", b"", 0.0, 1.0)  # type: ignore[arg-type]

        monkeypatch.setattr(Slot, "run_python", run_python)
        yield sandbox, ends, asked


@pytest.mark.parametrize(
    ("planted", "ended", "attempts"),
    [
        (["exited"], "exited", 1),
        (["cpu"], "cpu", 1),
        (["late", "exited"], "exited", 2),
        (["wall", "exited"], "exited", 2),
        (["wall", "wall"], "wall", 2),
        (["lost", "exited"], "exited", 2),
    ],
)
def test_little_cpu_at_the_wall_clock_is_tried_once_more(
    scripted: tuple[Sandbox, list[str], list[str]], planted: list[str], ended: str, attempts: int
) -> None:
    sandbox, ends, asked = scripted
    ends += planted
    assert sandbox.run_program("python", "p", LIMITS).ended == ended
    assert len(asked) == attempts


@pytest.mark.parametrize(
    ("planted", "is_too_busy"), [(["late", "late"], True), (["wall", "late"], True), (["lost", "lost"], False)]
)
def test_a_machine_that_is_too_busy_twice_is_an_infrastructure_error(
    scripted: tuple[Sandbox, list[str], list[str]], planted: list[str], is_too_busy: bool
) -> None:
    sandbox, ends, _ = scripted
    ends += planted
    with pytest.raises(InfrastructureError) as raised:
        sandbox.run_program("python", "p", LIMITS)
    assert isinstance(raised.value, MachineTooBusy) == is_too_busy


BURN = "while True: pass"


@pytest.mark.alone
def test_a_busy_program_on_a_starved_core_is_late_and_a_sleeping_one_is_not() -> None:
    """Real load: processes of ours that hold every core."""
    with Sandbox(num_slots=1) as sandbox:
        # A session each: the kernel shares a core out between sessions first.
        number = 12 * len(os.sched_getaffinity(0))
        burners = [subprocess.Popen([sys.executable, "-c", BURN], start_new_session=True) for _ in range(number)]
        try:
            slot = sandbox.slots[0]
            time.sleep(0.5)
            limits = Limits(cpu_s=0.5)
            busy = slot.run_python({"mode": "program", "source": BURN}, limits)
            for burner in burners[len(burners) // 4 :]:
                burner.kill()
            asleep = slot.run_python({"mode": "program", "source": "import time; time.sleep(60)"}, limits)
        finally:
            for burner in burners:
                burner.kill()
                burner.wait()
    assert busy.ended == "late"
    if asleep.ended == "late":
        raise MachineTooBusy("a program that sleeps had to wait for a core, beside more than our own processes")
    assert asleep.ended == "wall"


@pytest.fixture
def commands(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return the names of the commands that slots run, as they run them."""
    run_command, names = Slot.run_command, []

    def noted(self: Slot, command: Command, *more: Any, **options: Any) -> Any:
        names.append(command.argv[0])
        return run_command(self, command, *more, **options)

    monkeypatch.setattr(Slot, "run_command", noted)
    return names


@pytest.mark.needs("cpp")
def test_a_program_is_compiled_once(fresh: Sandbox, commands: list[str]) -> None:
    source = '#include <cstdio>\nint main() { int a; std::scanf("%d", &a); std::printf("%d\\n", a + 1); }\n'
    for n in range(3):
        assert fresh.run_program("cpp", source, LIMITS, stdin=str(n).encode()).stdout == f"{n + 1}\n".encode()
    assert commands.count("g++") == 1


@pytest.mark.needs("cpp")
def test_a_failed_compilation_is_the_compilers_run_and_kept_too(fresh: Sandbox) -> None:
    first = fresh.run_program("cpp", "int main() { return x; }", LIMITS)
    assert not first.is_clean
    assert b"not declared" in first.stderr
    assert fresh.run_program("cpp", "int main() { return x; }", LIMITS) is first


@pytest.mark.needs("landlock", "bash")
@pytest.mark.parametrize("abi", [1, 2, 4, 6])
def test_it_holds_with_an_older_landlock(abi: int, outside: Outside) -> None:
    rows = [row for row in CONTAINED if row["id"] in ("files", "network", "processes", "kernel", "bash files")]
    with Sandbox(mode="landlock", num_slots=1, max_landlock_abi=abi) as sandbox:
        assert sandbox.slots[0].landlock_abi == abi
        assert [found for row in rows if (found := complaints(row, sandbox, outside))] == []


def test_without_any_isolation_it_refuses_to_start(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("r1ray.sandbox.home.landlock_abi", lambda: 0)
    monkeypatch.setattr("r1ray.sandbox.home.bubblewrap_problem", lambda: "bwrap is not installed")
    with pytest.raises(SandboxUnavailable, match=r"no Landlock .*bwrap is not installed"):
        Sandbox()
    with pytest.raises(SandboxUnavailable, match=r"sandbox\.mode=bubblewrap: bwrap is not installed"):
        choose_mode("bubblewrap")


@pytest.fixture
def removes_shared_memory() -> Iterator[None]:
    """Remove the segments that programs of this process's sandboxes have made."""
    before = shared_memory()
    yield
    users = users_of_process(os.getpid())
    for number, user in shared_memory().items():
        if number not in before and user in users:
            ctypes.CDLL(None).shmctl(number, 0, None)  # IPC_RMID


@pytest.mark.usefixtures("removes_shared_memory")
@pytest.mark.needs("landlock")
def test_the_self_test_finds_a_sandbox_that_does_not_hold(monkeypatch: pytest.MonkeyPatch) -> None:
    """The lock is left off, and the probes get out."""
    monkeypatch.setattr("r1ray.sandbox.home.choose_mode", lambda mode: "landlock")
    open_filters = "r1ray.sandbox.slot.compile_filters"
    monkeypatch.setattr(open_filters, lambda **_: dict.fromkeys(("python", "native", "shell"), ALLOW_ALL))
    with pytest.raises(SandboxUnavailable, match=r"does not hold here: from inside \(python\) a program could .*fork"):
        Sandbox(num_slots=1)


ALLOW_ALL = bytes.fromhex("06000000" + "0000ff7f")  # BPF: return ALLOW


def test_mode_none_says_at_every_start_that_it_is_unsafe(capfd: pytest.CaptureFixture[str]) -> None:
    with Sandbox(mode="none", num_slots=1) as sandbox:
        assert sandbox.run_program("python", "print(1)", LIMITS).stdout == b"1\n"
    assert "UNSAFE: sandbox.mode=none" in capfd.readouterr().err


def test_the_interpreter_is_one_that_slots_may_read() -> None:
    path = Path(find_python()).resolve()
    assert os.geteuid() != 0 or all(parent.stat().st_mode & 1 for parent in path.parents)


def _resident_kib(pid: int) -> int:
    return int(
        next(line for line in Path(f"/proc/{pid}/status").read_text().splitlines() if "VmRSS" in line).split()[1]
    )


@pytest.mark.needs("bash")
@pytest.mark.parametrize(
    "number", [140, pytest.param(int(os.environ.get("R1RAY_JOBS", "1000")), marks=pytest.mark.long)]
)
@pytest.mark.parametrize("mode", MODES)
def test_many_mixed_jobs_leak_nothing(mode: str, number: int) -> None:
    """Leaks of descriptors show after a few jobs, and slow growth after many; R1RAY_JOBS=10000 for more of them."""
    with make(mode) as sandbox:
        jobs: list[Callable[[], Run]] = [
            lambda: sandbox.run_program("python", "print(input())", LIMITS, stdin=b"x\n"),
            lambda: sandbox.run_program("python", "1/0", LIMITS),
            lambda: sandbox.run_program("python", "print('x' * 10**7)", LIMITS),
            lambda: sandbox.run_calls("def f(x): return x", "f", [[1]] * 5, LIMITS, call_s=1.0),
            lambda: sandbox.run_asserts("def f(x): return x", "f", "assert f(1) == 1", LIMITS),
            lambda: sandbox.run_program("python", "raise SystemExit(3)", LIMITS),
            lambda: sandbox.run_program("bash", "echo x > a; sleep 0.001 & cat a", LIMITS),
        ]
        for index in range(70):
            jobs[index % len(jobs)]()
        (slot,) = sandbox.slots
        gc.collect()
        before = (len(os.listdir("/proc/self/fd")), len(os.listdir(f"/proc/{slot.zygote_pid}/fd")))
        memory = (_resident_kib(os.getpid()), _resident_kib(slot.zygote_pid))
        for index in range(number):
            jobs[index % len(jobs)]()
        gc.collect()
        assert sandbox.slots == (slot,)
        assert (len(os.listdir("/proc/self/fd")), len(os.listdir(f"/proc/{slot.zygote_pid}/fd"))) == before
        assert survivors(sandbox) == []
        if mode == "landlock":
            assert list(Path(sandbox.folder, "scratch", "0").iterdir()) == []
        for old, new in zip(memory, (_resident_kib(os.getpid()), _resident_kib(slot.zygote_pid)), strict=True):
            assert new < old + 8192
    assert not sandbox.folder.exists()


def test_it_runs_in_many_threads_at_once() -> None:
    with Sandbox(num_slots=2) as sandbox:
        results: list[bytes] = []

        def work(n: int) -> None:
            results.append(sandbox.run_program("python", f"print({n})", LIMITS).stdout)

        threads = [threading.Thread(target=work, args=(n,)) for n in range(64)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert sorted(int(printed) for printed in results) == list(range(64))


FLOODS = {
    "folders": "import os\nfor i in range(10**6): os.mkdir(str(i))",
    "folders in folders": "import os\ndef f(p, d):\n    for i in range(10):\n        os.mkdir(f'{p}/{i}')\n"
    "        if d: f(f'{p}/{i}', d - 1)\nf('.', 7)",
    "links": "import os\nopen('a', 'w').close()\nfor i in range(10**6): os.link('a', str(i))",
}


@pytest.mark.needs("bash")
@pytest.mark.parametrize("flood", FLOODS)
def test_a_flood_of_files_is_ended_while_it_is_small(fresh: Sandbox, flood: str) -> None:
    run = fresh.run_program("bash", f'python3 -I -S -c "{FLOODS[flood]}"', LIMITS)
    assert run.ended == "output" and run.cpu_s < LIMITS.cpu_s / 2


def test_containers_with_the_same_process_numbers_take_other_users() -> None:
    users_of_process.cache_clear()
    drawn = set()
    for _ in range(20):
        drawn.add(users_of_process(7))
        users_of_process.cache_clear()
    assert len(drawn) == 20 and all(users.start >= UID_BASE for users in drawn)


COUNTED = """
import os, resource, subprocess, sys
from r1ray.sandbox.inside.lock import processes_counted
os.setresuid(1234567, 1234567, 1234567)
before = processes_counted()
sleepers = [subprocess.Popen(["/bin/sleep", "60"], cwd="/") for _ in range(5)]
print(processes_counted() - before)
for sleeper in sleepers: sleeper.kill()
"""


@pytest.mark.needs("root")
def test_the_kernels_own_count_of_processes_is_found() -> None:
    done = subprocess.run([sys.executable, "-c", COUNTED], capture_output=True, text=True, timeout=60)
    assert done.stdout == "5\n", done.stderr


def test_a_command_gives_back_what_it_was_to_leave(sandbox: Sandbox) -> None:
    environment = {"PATH": "/usr/bin:/bin"}
    command = Command(argv=("sh", "-c", "cat > out; echo hi"), profile="shell", collect="out", environment=environment)
    run, left = sandbox.run_command(command, LIMITS, stdin=b"given")
    assert (run.stdout, left, run.is_clean) == (b"hi\n", b"given", True)
    run, left = sandbox.run_command(Command(argv=("false",), profile="shell", environment=environment), LIMITS)
    assert (run.exit_code, left) == (1, None)
