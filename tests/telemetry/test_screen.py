from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial

import pytest

from r1ray.telemetry.screen import MAX_LINES, Screen, takes_view
from tests.terminal import Terminal

PROGRAM = """
import os, sys, time
from r1ray.telemetry import screen as module
module.REDRAW_S, module.CLOSE_S = 0.2, 0.5
screen = module.Screen(1, encoding="utf-8", lost=lambda why: None)
screen.show(lambda width, height: [f"view {width}x{height}".ljust(width, "."), "second row"])
for number in range(NUMBER):
    screen.say(f"line {number}", "bold" if number == 0 else None)
    time.sleep(EVERY_S)
screen.close()
print("after")
"""


def program(*, number: int, every_s: float) -> str:
    return PROGRAM.replace("NUMBER", str(number)).replace("EVERY_S", str(every_s))


Opens = Callable[..., Terminal]


@pytest.fixture
def opened() -> Iterator[Opens]:
    made: list[Terminal] = []

    def start(*arguments: str, **keywords: int | dict[str, str]) -> Terminal:
        made.append(Terminal(*arguments, **keywords))  # type: ignore[arg-type]
        return made[-1]

    yield start
    for terminal in made:
        terminal.close()


@pytest.mark.parametrize("width", [80, pytest.param(40, marks=pytest.mark.long)])
def test_lines_stay_above_the_view_which_goes_in_the_end(opened: Opens, width: int) -> None:
    terminal = opened(program(number=3, every_s=0.2), width=width)
    seen = terminal.until(lambda lines: "line 2" in lines and "second row" in lines)
    assert [line for line in seen if line] == [
        *("line 0", "line 1", "line 2"),
        *(f"view {width - 1}x22".ljust(width - 1, "."), "second row"),
    ]
    assert [line for line in terminal.ended() if line] == ["line 0", "line 1", "line 2", "after"]
    assert terminal.is_sane and terminal.screen.unknown == []


def _begins_a_line(shown: str, lines: list[str]) -> bool:
    return any(line.startswith(shown) for line in lines)


@pytest.mark.long
def test_a_window_that_grows_or_shrinks_loses_no_line(opened: Opens) -> None:
    terminal = opened(program(number=1, every_s=2.0), width=60)
    for width in (100, 40):
        terminal.resize(width, 20)
        shown = f"view {width - 1}x18"
        terminal.until(partial(_begins_a_line, shown))
    assert {"line 0", "after"} <= set(terminal.ended())


def test_ctrl_c_leaves_a_sane_terminal(opened: Opens) -> None:
    terminal = opened(program(number=1000, every_s=0.2))
    terminal.until(lambda lines: "second row" in lines)
    terminal.type(b"\x03")
    assert "KeyboardInterrupt" in "\n".join(terminal.ended()) and terminal.is_sane


@pytest.mark.long
def test_a_terminal_that_is_stopped_holds_nobody(opened: Opens) -> None:
    ends = program(number=30_000, every_s=0.0).replace("screen.close()", "os._exit(3 if screen.close() else 7)")
    stopped = opened("import sys; sys.stdin.readline()\n" + ends)
    stopped.type(b"\x13\n")  # Ctrl-S, then the line that it waits for
    assert stopped.process.wait(timeout=30) == 7, "it has ended although its last lines were not taken"


def test_a_pipe_that_nobody_reads_holds_nobody_and_what_is_left_out_is_said() -> None:
    reader, writer = os.pipe()
    screen = Screen(writer, encoding="utf-8", lost=lambda why: None)
    os.close(writer)
    begun = time.monotonic()
    for number in range(MAX_LINES + 20_000):
        screen.say(f"line {number}")
    assert time.monotonic() - begun < 5
    text = b""
    while b"left out" not in text:
        text += os.read(reader, 1 << 20)
    assert screen.close()
    os.close(reader)
    lines = text.decode().splitlines()
    told = [line for line in lines if line.startswith("line ")]
    assert told[0] == "line 0" and len(told) >= MAX_LINES
    assert f"({MAX_LINES + 20_000 - len(told)} lines were left out" in text.decode()


def test_a_console_that_is_gone_is_told_once() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    lost: list[str] = []
    screen = Screen(writer, encoding="utf-8", lost=lost.append)
    os.close(writer)
    screen.say("a line")
    assert not screen.close() and len(lost) == 1 and "Broken pipe" in lost[0]
    screen.say("another")


def test_elsewhere_than_on_a_terminal_are_plain_lines() -> None:
    done = subprocess.run([sys.executable, "-c", program(number=2, every_s=0.0)], capture_output=True, text=True)
    assert done.stdout == "line 0\nline 1\nafter\n"


def test_a_view_needs_a_terminal_with_somebody_there() -> None:
    master, slave = os.openpty()
    reader, writer = os.pipe()
    assert takes_view(slave, {"TERM": "xterm"})
    assert not takes_view(slave, {"TERM": "dumb"}) and not takes_view(slave, {"TERM": "xterm", "CI": "true"})
    assert not takes_view(writer, {"TERM": "xterm"})
    for file in (master, slave, reader, writer):
        os.close(file)
