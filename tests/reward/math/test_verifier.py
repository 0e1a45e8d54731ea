"""The verifier as its callers see it: threads, event loops, deadlines, dead processes, closing."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from r1ray.errors import DeadlineExceeded, InfrastructureError, UnscorableError
from r1ray.reward.math import process as process_module
from r1ray.reward.math import verifier as verifier_module
from r1ray.reward.math.process import ChildDied, KillableProcess, ProcessorTimeExceeded
from r1ray.reward.math.verifier import MathVerifier

UNDECIDED = ("x^2-4=0", r"\boxed{x^2=4 \text{ if } x>0}")
"""A pair that only math-verify looks at."""


def is_alive(pid: int) -> bool:
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def wait_until(fact: Callable[[], bool], seconds: float = 60.0) -> bool:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if fact():
            return True
        time.sleep(0.02)
    return fact()


def test_the_template_of_r1_zero_needs_no_box(verifier: MathVerifier) -> None:
    score = verifier.score_sync("29", "<think>25+4</think> <answer>29</answer>")
    assert (score.value, score.label, score.extracted) == (1.0, "correct", "29")


def test_the_verdicts(verifier: MathVerifier) -> None:
    assert verifier.score_sync("29", "<think>a</think> <answer>28</answer>").label == "wrong"
    assert verifier.score_sync("29", "<think>29").label == "no_answer"
    assert verifier.score_sync("29", "<think>29").extracted is None


def test_a_broken_reference_is_no_zero(verifier: MathVerifier) -> None:
    with pytest.raises(UnscorableError):
        verifier.score_sync(r"\frac{1}{", r"\boxed{1}")
    for _ in range(2):  # the second time from the cache
        with pytest.raises(UnscorableError):
            verifier.score_sync(r"\nonsense{3} \foo \bar{", r"\boxed{1}")


def test_a_reference_that_nobody_can_parse_is_compared_as_text(verifier: MathVerifier) -> None:
    """What a reference is worth does not depend on the answer: its own text is right, and no other is."""
    reference = r"\unknowncommand{3} \& \foo"
    assert verifier.score_sync(reference, r"\boxed{x+1}").label == "wrong"
    assert verifier.score_sync(reference, rf"\boxed{{{reference}}}").label == "correct"


def test_nonsense_arguments_are_refused() -> None:
    for keywords in ({"num_processes": 0}, {"deadline_s": 0.0}, {"memory_mib": 1}):
        with pytest.raises(ValueError, match="MathVerifier needs"):
            MathVerifier(**keywords)  # type: ignore[arg-type]


def test_an_event_loop_goes_on_meanwhile(verifier: MathVerifier) -> None:
    async def both() -> tuple[str, int]:
        ticks = 0

        async def tick() -> None:
            nonlocal ticks
            while True:
                await asyncio.sleep(0.005)
                ticks += 1

        ticker = asyncio.create_task(tick())
        scores = await asyncio.gather(
            *(verifier.score(f"x^2={n}", rf"\boxed{{x=\pm\sqrt{{{n}}}+1}}") for n in range(5, 25))
        )
        ticker.cancel()
        return scores[0].label, ticks

    verdict, ticks = asyncio.run(both())
    assert verdict == "wrong" and ticks >= 3
    assert asyncio.run(both())[0] == "wrong"  # another loop


def test_many_threads_get_their_own_answers(verifier: MathVerifier) -> None:
    def one(number: int) -> bool:
        right = number % 2 == 0
        answer = rf"\boxed{{\frac{{{2 * number}}}{{2}} + \sqrt{{{number}}}}}" if right else r"\boxed{\sqrt{2}}"
        return verifier.score_sync(rf"{number} + \sqrt{{{number}}}", answer).value == float(right)

    with ThreadPoolExecutor(8) as threads:
        assert all(threads.map(one, range(3, 120)))


def test_an_answer_is_judged_once(verifier: MathVerifier, monkeypatch: pytest.MonkeyPatch) -> None:
    first = verifier.score_sync("17", r"\boxed{17\text{ cm}}")
    monkeypatch.setattr(verifier_module, "decide", lambda *_: pytest.fail("judged again"))
    assert verifier.score_sync("17", r"Other words, \boxed{17\text{ cm}}") is first


@pytest.mark.faults
def test_a_process_judges_and_is_killed_and_judges_again() -> None:
    process = KillableProcess(deadline_s=2.0, memory_mib=1024)
    try:
        assert process.ask("x>y", "y<x") == "equal"
        stem, child = process.pids
        os.kill(child, signal.SIGKILL)
        with pytest.raises(ChildDied):
            process.ask("x>y", "y<x")
        assert process.ask("x>y", "y<x") == "equal"
        assert process.pids[0] == stem and process.pids[1] != child
        os.kill(stem, signal.SIGKILL)
        os.kill(process.pids[1], signal.SIGKILL)
        with pytest.raises(ChildDied):
            process.ask("x>y", "y<x")
        assert process.ask("x>y", "x<y") == "different"  # a new stem
        assert process.pids[0] != stem
    finally:
        pids = process.pids
        process.close()
        process.close()
    assert wait_until(lambda: not any(map(is_alive, pids)))


def test_an_answer_that_computes_for_ever_is_killed_in_time() -> None:
    process = KillableProcess(deadline_s=1.0, memory_mib=2048)
    try:
        assert process.ask("x>y", "y<x") == "equal"
        stem, child = process.pids
        started = time.monotonic()
        with pytest.raises(ProcessorTimeExceeded):
            process.ask("5", r"9^{9^{9^{9}}}+1.5")
        assert time.monotonic() - started < 150
        assert wait_until(lambda: not is_alive(child))
        assert process.ask("x>y", "y<x") == "equal"
        assert process.pids[0] == stem, "the next child is a fork, and imports nothing"
    finally:
        process.close()


def test_a_turn_that_does_not_come_is_a_fault_of_the_machine_that_names_the_key(
    monkeypatch: pytest.MonkeyPatch, verifier: MathVerifier
) -> None:
    monkeypatch.setattr(verifier_module, "QUEUE_S", 0.0)
    monkeypatch.setattr(verifier, "_cache", OrderedDict())
    message = r"waited 0 s for its turn of the math verifier.* reward\.verifier\.num_processes"
    with pytest.raises(DeadlineExceeded, match=message):
        asyncio.run(verifier.score(*UNDECIDED))
    with pytest.raises(DeadlineExceeded, match=message):
        verifier.score_sync(*UNDECIDED)


def test_a_timeout_is_a_verdict(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(verifier_module, "decide", lambda *_: None)
    monkeypatch.setattr(verifier_module, "is_safe", lambda _: True)
    with MathVerifier(deadline_s=0.7) as one:
        score = one.score_sync("5", r"\boxed{9^{9^{9^{9}}}+1.5}")
    assert (score.value, score.label) == (0.0, "timeout")


@pytest.mark.faults
def test_a_check_that_kills_its_process_twice_is_wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def dies(*_: object) -> str:
        asked.append(1)
        raise ChildDied

    monkeypatch.setattr(KillableProcess, "ask", dies)
    with MathVerifier() as one:
        score = one.score_sync(*UNDECIDED)
    assert (score.value, score.label, len(asked)) == (0.0, "wrong", 2)


def test_a_process_that_does_not_start_is_the_machine_s_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "/bin/false")
    with MathVerifier() as one, pytest.raises(InfrastructureError, match="does not start"):
        one.score_sync(*UNDECIDED)
    monkeypatch.setattr(sys, "executable", "/nowhere/python")
    with pytest.raises(InfrastructureError, match="cannot be started"):
        MathVerifier()


def test_a_starved_check_is_asked_again_and_then_the_machine_s_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process_module, "STARVED_FACTOR", 3)
    process = KillableProcess(deadline_s=0.3, memory_mib=1024)
    try:
        assert process.ask("x>y", "y<x") == "equal"
        killed = []
        original = KillableProcess._connected

        def stopped(self: KillableProcess) -> process_module._Child:
            child = original(self)
            os.kill(child.pid, signal.SIGSTOP)
            killed.append(child.pid)
            return child

        monkeypatch.setattr(KillableProcess, "_connected", stopped)
        with pytest.raises(InfrastructureError, match="no processor time"):
            process.ask("x>y", "y<x")
        assert len(set(killed)) == 2 and wait_until(lambda: not any(map(is_alive, killed)))
    finally:
        process.close()


def test_closing_ends_every_process_and_refuses_more() -> None:
    one = MathVerifier(num_processes=2)
    with contextlib.suppress(UnscorableError):
        one.score_sync(*UNDECIDED)
    pids = one.pids
    one.close()
    one.close()
    assert pids and wait_until(lambda: not any(map(is_alive, pids)))
    with pytest.raises(InfrastructureError):
        one.score_sync("1", r"\boxed{1}")


OWNER = """
import sys, time
from r1ray.reward.math.verifier import MathVerifier
one = MathVerifier()
one.score_sync("x>y", r"\\\\boxed{y<x+0z \\\\text{ if } z}") if False else one._by_process("x>y", "y<x")
print(*one.pids, flush=True)
one._by_process("5", "9^{9^{9^{9}}}+1.5")
"""


def test_no_process_survives_its_owner() -> None:
    owner = subprocess.Popen([sys.executable, "-c", OWNER], stdout=subprocess.PIPE, text=True, cwd=os.getcwd())
    try:
        assert owner.stdout is not None
        pids = [int(pid) for pid in owner.stdout.readline().split()]
        assert len(pids) == 2 and all(map(is_alive, pids))
        time.sleep(0.3)  # the child is computing and reads nothing
    finally:
        owner.kill()
        owner.communicate()
    assert wait_until(lambda: not any(map(is_alive, pids)))


def test_a_verifier_made_in_a_thread_that_ended_still_works() -> None:
    made: list[MathVerifier] = []
    thread = threading.Thread(target=lambda: made.append(MathVerifier()))
    thread.start()
    thread.join()
    with made[0] as one:
        assert one.score_sync("x>y", r"\boxed{2y<2x}").value == 1.0
        assert one._by_process("x>y", "y<x").value == 1.0
