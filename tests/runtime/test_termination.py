"""SIGTERM ends a run at a place that it goes on from, and everything else the way Ctrl-C does."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from r1ray.errors import Terminated
from r1ray.loop.checkpoint import Checkpoints
from r1ray.loop.supervised_loop import SupervisedLoop
from r1ray.runtime.termination import first_sigterm, kept_handler
from tests.fakes import FakePrompts
from tests.loop.test_controller import World
from tests.loop.test_controller import make_config as make_rl_config
from tests.loop.test_supervised_loop import EXAMPLES, FakeSupervisedLearner
from tests.loop.test_supervised_loop import make_config as make_sft_config

pytestmark = pytest.mark.faults


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_the_first_signal_is_told_and_the_second_is_as_before(number: signal.Signals) -> None:
    told: list[str] = []

    async def work() -> None:
        with first_sigterm(lambda: told.append("first")):
            for _ in range(2):
                os.kill(os.getpid(), number)
                await asyncio.sleep(0.01)
        os.kill(os.getpid(), number)

    before = signal.signal(number, lambda number, frame: told.append("before"))
    try:
        asyncio.run(work())
        with kept_handler():
            signal.signal(signal.SIGTERM, signal.getsignal(signal.SIGTERM))
        os.kill(os.getpid(), number)
    finally:
        signal.signal(number, before)
    assert told == ["first", "before", "before", "before"]


def test_a_handler_that_a_library_sets_does_not_stay() -> None:
    before = signal.getsignal(signal.SIGTERM)
    with kept_handler():
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    assert signal.getsignal(signal.SIGTERM) is before


def test_what_is_started_in_the_block_outlives_the_terminal_and_the_signal_is_not_lost() -> None:
    told: list[str] = []
    before = signal.signal(signal.SIGHUP, lambda number, frame: told.append("told"))
    try:
        with kept_handler():
            process = subprocess.Popen([sys.executable, "-c", "print(input())"], stdin=-1, stdout=-1, text=True)
            signal.pthread_kill(threading.get_ident(), signal.SIGHUP)  # another thread would not hold it back
            assert told == []
        assert told == ["told"]
        process.send_signal(signal.SIGHUP)
        assert process.communicate("alive", timeout=30)[0] == "alive\n"
    finally:
        signal.signal(signal.SIGHUP, before)


def test_a_run_under_nohup_goes_on_without_its_terminal() -> None:
    told: list[str] = []

    async def work() -> None:
        with first_sigterm(lambda: told.append("first")):
            os.kill(os.getpid(), signal.SIGHUP)
            await asyncio.sleep(0.01)

    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        asyncio.run(work())
    finally:
        signal.signal(signal.SIGHUP, before)
    assert told == []


def test_a_run_that_is_stopped_has_a_checkpoint_of_its_last_step_and_trains_nothing_twice(tmp_path: Path) -> None:
    stopped = World(tmp_path, make_rl_config(steps=6, staleness=1, checkpoint_every=4))

    def stop_in_step_2(metrics: dict[str, float]) -> None:
        stopped.log.append(metrics)
        if metrics["step"] == 2:
            stopped.last.stop()

    stopped.controller()
    stopped.last._report._log = stop_in_step_2
    with pytest.raises(Terminated) as ended:
        asyncio.run(stopped.last.run())
    latest = stopped.checkpoints.latest()
    assert latest is not None
    last = latest[1].version
    assert last in (2, 3), "a step that has begun is made; a checkpoint is due every 4 steps"
    assert str(ended.value) == f"stopped after step {last}; the same command goes on"

    world = World(tmp_path, stopped.config)
    world.prompts = FakePrompts(latest[1].position)
    world.run(state=latest[1])
    trained = [name for step in (*stopped.learner.trained, *world.learner.trained) for name in step]
    assert len(trained) == len(set(trained)) == 18
    ledger = world.last.ledger
    assert (ledger.issued, ledger.trained, len(ledger.in_flight)) == (18, 18, 0)


def test_a_run_that_is_stopped_while_it_waits_for_groups_does_not_wait_on(tmp_path: Path) -> None:
    world = World(tmp_path, make_rl_config(steps=6, checkpoint_every=4), delay=lambda name: 10**6)

    async def work() -> None:
        running = asyncio.create_task(world.controller().run())
        await asyncio.sleep(0.05)
        world.last.stop()
        await running

    with pytest.raises(Terminated, match="stopped after step 0"):
        asyncio.run(work())
    assert world.checkpoints.latest() is None, "there is nothing to keep"


def test_a_run_without_checkpoints_by_steps_has_one_when_it_is_stopped(tmp_path: Path) -> None:
    world = World(tmp_path, make_rl_config(steps=6))
    world.controller()
    world.last._report._log = lambda metrics: world.last.stop() if metrics["step"] == 2 else None
    with pytest.raises(Terminated, match="the same command goes on"):
        asyncio.run(world.last.run())
    latest = world.checkpoints.latest()
    assert latest is not None and latest[1].step == world.last.step


@pytest.mark.parametrize("every", [0, 4])
def test_fine_tuning_that_is_stopped_has_a_checkpoint_too(tmp_path: Path, every: int) -> None:
    checkpoints = Checkpoints(tmp_path / "checkpoints", keep=9)
    learner = FakeSupervisedLearner()
    loop = SupervisedLoop(
        make_sft_config(checkpoint_every=every),
        learner,
        EXAMPLES,
        checkpoints=checkpoints,
        log=lambda metrics: loop.stop() if metrics["step"] == 2 else None,
    )
    with pytest.raises(Terminated, match="stopped after step 2"):
        asyncio.run(loop.run())
    latest = checkpoints.latest()
    assert latest is not None and latest[1].version == 2 and len(learner.trained) == 2


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_any_other_command_ends_as_with_ctrl_c_even_in_the_background(tmp_path: Path, number: signal.Signals) -> None:
    # A command that has started, and does what takes long.
    (tmp_path / "command.py").write_text(
        "import sys, time\n"
        "from r1ray import main\n"
        "main.score.command = lambda arguments: (print('started', flush=True), time.sleep(60))\n"
        "sys.argv = ['r1ray', 'score', 'FILE']\n"
        "main.entrypoint()\n"
    )
    program = f"trap '' INT; exec {sys.executable} {tmp_path / 'command.py'}"  # as `... &` does
    process = subprocess.Popen(["bash", "-c", program], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None and process.stdout.readline() == "started\n"
        process.send_signal(number)
        _, said = process.communicate(timeout=30)
    finally:
        process.kill()
        process.wait(timeout=30)
    assert (process.returncode, said) == (143, "r1ray: interrupted.\n")
