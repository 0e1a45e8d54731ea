"""What somebody sees of a run on a terminal, without the actors of one."""

from __future__ import annotations

import os
import re
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.terminal import Terminal

PROGRAM = """
import logging, os, sys, time
from pathlib import Path
from r1ray.runtime.advance import counted
from r1ray.runtime.termination import interrupts_on_sigterm
from r1ray.telemetry import driver_status
from r1ray.telemetry.console import Progress
from r1ray.telemetry.logs import console

interrupts_on_sigterm()
run_dir = Path(RUN_DIR)
ROW = {"time/step_s": 1.0, "reward/mean": 0.5, "reward/accuracy": 0.25, "completion/length_mean": 12.0,
       "entropy": 0.3, "throughput/generated_tokens_per_s": 100.0}
with console(sys.stdout):
    logger = logging.getLogger("r1ray.test")
    try:
        with driver_status.told(run_dir):
            driver_status.begin_stage("rl", run_dir)
            driver_status.expect_steps(9)
            progress = Progress(num_steps=9, benchmark="sums")
            os.system("echo chatter of a library")
            driver_status.show_sample("a sample\\x1b]0;title\\x07 of a model")
            for step in counted("an evaluation", range(1, 4)):
                row = ROW | {"step": float(step)} | ({"eval/sums/pass@1": 0.75} if step == 2 else {})
                driver_status.end_step(row)
                progress.step(row)
                time.sleep(0.1)
            (run_dir / "all.steps").touch()
            time.sleep(PAUSE_S)
        logger.info("run folder: here")
    except KeyboardInterrupt:
        (run_dir / "was.interrupted").touch()
        raise
"""


@pytest.fixture
def made() -> Iterator[list[Terminal]]:
    terminals: list[Terminal] = []
    yield terminals
    for terminal in terminals:
        terminal.close()


def started(made: list[Terminal], run_dir: Path, *, pause_s: float, width: int = 80, **environment: str) -> Terminal:
    program = PROGRAM.replace("RUN_DIR", repr(str(run_dir))).replace("PAUSE_S", str(pause_s))
    made.append(Terminal(program, width=width, environment=environment))
    return made[-1]


@pytest.mark.parametrize("width", [80, pytest.param(40, marks=pytest.mark.long)])
def test_rows_stay_above_a_view_that_goes_when_the_run_ends(made: list[Terminal], tmp_path: Path, width: int) -> None:
    terminal = started(made, tmp_path, pause_s=1.5, width=width)
    seen = "\n".join(terminal.until(lambda lines: any("step 3/9" in line for line in lines)))
    for expected in (
        "stage rl",
        "reward 0.500 (mean of 5: 0.500)",
        "accuracy 0.250",
        "sums/pass@1 0.750",
        "length 12.0",
    ):
        assert expected in seen
    assert "a sample\\x1b]0;title" in seen and "chatter" not in seen
    ended = "\n".join(terminal.ended())
    assert "run folder: here" in ended and "stage rl" not in ended and "a sample" not in ended
    assert len(re.findall(r"^ +[123]/9 ", ended, re.MULTILINE)) == 3
    assert ended.count(" 0.250") == (3 if width == 80 else 0), "a column without room is left out"
    assert terminal.process.returncode == 0 and terminal.is_sane and terminal.screen.unknown == []


@pytest.mark.long
def test_without_a_view_there_are_the_rows_alone(made: list[Terminal], tmp_path: Path) -> None:
    ended = started(made, tmp_path, pause_s=0.2, CI="true").ended()
    assert not any("stage rl" in line for line in ended) and any("3/9" in line for line in ended)


@pytest.mark.long
def test_no_color_is_heeded(made: list[Terminal], tmp_path: Path) -> None:
    terminal = started(made, tmp_path, pause_s=1.2, NO_COLOR="1")
    terminal.ended()
    assert re.findall(r"\x1b\[(?:3|4|9|10)\d+m", terminal.raw) == [] and "stage rl" in terminal.raw


@pytest.mark.long
def test_ctrl_c_ends_the_run_and_takes_the_view_away(made: list[Terminal], tmp_path: Path) -> None:
    terminal = started(made, tmp_path, pause_s=60.0)
    terminal.until(lambda lines: any("step 3/9" in line for line in lines))
    terminal.type(b"\x03")
    ended = "\n".join(terminal.ended())
    assert (tmp_path / "was.interrupted").exists() and "stage rl" not in ended and terminal.is_sane


@pytest.mark.long
def test_a_killed_run_leaves_a_sane_terminal(made: list[Terminal], tmp_path: Path) -> None:
    terminal = started(made, tmp_path, pause_s=60.0)
    terminal.until(lambda lines: any("step 3/9" in line for line in lines))
    os.kill(terminal.process.pid, signal.SIGKILL)
    terminal.ended()
    assert terminal.is_sane


EVALUATION = """
import logging, sys, time
from functools import partial
from r1ray.runtime.advance import counted
from r1ray.telemetry.live_view import view_of_work
from r1ray.telemetry.logs import console, shown_below

with console(sys.stdout):
    with shown_below(partial(view_of_work, time.monotonic())):
        for number in counted("evaluation of sums", range(4)):
            logging.getLogger("r1ray.test").info(f"question {number}")
            time.sleep(0.6)
    print("the result")
"""


def test_a_command_that_is_no_run_keeps_its_bar_below_what_it_says(made: list[Terminal]) -> None:
    made.append(Terminal(EVALUATION))
    (terminal,) = made
    lines = terminal.until(lambda lines: any(re.search("evaluation of sums [2-9]", line) for line in lines))
    assert lines[0] == "question 0" and any("elapsed" in line for line in lines)
    ended = [line for line in terminal.ended() if line]
    assert ended == [*(f"question {number}" for number in range(4)), "the result"]
    assert terminal.is_sane and terminal.screen.unknown == []
