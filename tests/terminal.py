"""A terminal with somebody before it: a program runs in a pseudo-terminal, and what it prints becomes rows."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Callable, Mapping

_TOKEN = re.compile(r"\x1b\[([?\d;]*)([A-Za-z])|\x1b(.)|(.)", re.DOTALL)


class Rows:
    """The rows of a terminal without a scrollback limit. It knows what r1ray uses, and notes all else."""

    def __init__(self, width: int) -> None:
        self.width, self.row, self.column = width, 0, 0
        self.rows: list[list[str]] = [[]]
        self.unknown: list[str] = []

    def feed(self, text: str) -> None:
        """Take what a program printed."""
        for found in _TOKEN.finditer(text):
            count, command, other, char = found.groups()
            if command == "A":
                self.row = max(0, self.row - int(count or 1))
            elif command == "J" and not count:
                del self.rows[self.row + 1 :]
                del self.rows[self.row][self.column :]
            elif command == "m":
                pass
            elif command or other:
                self.unknown.append(found[0])
            elif char == "\r":
                self.column = 0
            elif char == "\n":
                self._go_down()
            else:
                self._put(char)

    def _go_down(self) -> None:
        self.row += 1
        while len(self.rows) <= self.row:
            self.rows.append([])

    def _put(self, char: str) -> None:
        if self.column >= self.width:
            self.column = 0
            self._go_down()
        row = self.rows[self.row]
        row += [" "] * (self.column - len(row))
        row[self.column : self.column + 1] = [char]
        self.column += 1

    def lines(self) -> list[str]:
        """Return what is seen, from the first row on."""
        return ["".join(row).rstrip() for row in self.rows]


def _take_terminal() -> None:
    """Have Ctrl-C go to the program that this process becomes, also where these tests themselves ignore it, as what a
    shell starts in the background does."""
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)
    signal.signal(signal.SIGINT, signal.SIG_DFL)


class Terminal:
    """A Python program in a pseudo-terminal."""

    def __init__(
        self, program: str, *, width: int = 80, height: int = 24, environment: Mapping[str, str] | None = None
    ) -> None:
        self.screen, self.raw = Rows(width), ""
        self._master, slave = pty.openpty()
        self.resize(width, height)
        self.modes = termios.tcgetattr(slave)
        self._slave = slave
        self.process = subprocess.Popen(
            [sys.executable, "-c", program],
            stdin=slave,
            stdout=slave,
            stderr=slave,
            start_new_session=True,
            preexec_fn=_take_terminal,
            env={**os.environ, "TERM": "xterm", "CI": "", **(environment or {})},
        )

    def resize(self, width: int, height: int) -> None:
        """Give the window another size."""
        fcntl.ioctl(self._master, termios.TIOCSWINSZ, struct.pack("HHHH", height, width, 0, 0))
        self.screen.width = width

    def type(self, keys: bytes) -> None:
        """Press keys."""
        os.write(self._master, keys)

    def until(self, condition: Callable[[list[str]], bool], *, within_s: float = 30.0) -> list[str]:
        """Read until what is seen meets a condition; return it."""
        end = time.monotonic() + within_s
        while not condition(self.screen.lines()):
            assert time.monotonic() < end, "\n".join(self.screen.lines())
            self._read(0.1)
        return self.screen.lines()

    def ended(self, *, within_s: float = 30.0) -> list[str]:
        """Read until the program ends; return what is seen then."""
        end = time.monotonic() + within_s
        while self.process.poll() is None:
            assert time.monotonic() < end, "\n".join(self.screen.lines())
            self._read(0.1)
        while self._read(0.1):
            pass
        return self.screen.lines()

    def close(self) -> None:
        """End the program, and take the terminal away."""
        if self.process.poll() is None:
            os.kill(self.process.pid, signal.SIGKILL)
        self.process.wait()
        for file in (self._master, self._slave):
            os.close(file)

    @property
    def is_sane(self) -> bool:
        """Return whether the terminal's modes are as they were, and its cursor was never hidden."""
        return termios.tcgetattr(self._slave) == self.modes and "\x1b[?25l" not in self.raw

    def _read(self, timeout_s: float) -> bool:
        if not select.select([self._master], [], [], timeout_s)[0]:
            return False
        text = os.read(self._master, 65536).decode(errors="replace")
        self.raw += text
        self.screen.feed(text)
        return True
