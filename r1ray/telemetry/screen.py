"""The console of a run, written by a thread of its own: whoever logs never waits for a terminal or pipe that is slow,
stopped or gone.

say --> lines --+--> the console;  on a terminal a view stays below the lines, and is drawn again once a second
show --> view --+

The cursor is never hidden and no mode of the terminal is changed, so that a process that is killed leaves it sane.
"""

from __future__ import annotations

import io
import os
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress

REDRAW_S = 1.0
PAUSE_S = 0.05
"""Time after writing to a terminal: many lines are one frame."""
CLOSE_S = 2.0
"""Longest wait for the last lines."""
MAX_LINES = 20_000
LEAST_ROWS = 4
"""A terminal of fewer has no view."""
View = Callable[[int, int], Sequence[str]]
"""Makes the rows for a width and a greatest height, none wider, with the terminal's escapes for colours."""


def takes_view(file: int, environment: Mapping[str, str] = os.environ) -> bool:
    """Return whether a view can be kept on a console: on a terminal that can move its cursor, with somebody there."""
    return os.isatty(file) and environment.get("TERM", "dumb") != "dumb" and not environment.get("CI")


def with_room(row: str, width: int) -> str:
    """Return the columns of a row that a terminal has room for, so that it is not wrapped.

    >>> with_room("  1/6   0.25   0.50", 15)
    '  1/6   0.25'
    """
    return row if len(row) <= width else row[: max(0, row.rfind(" ", 0, width + 1))].rstrip()


class Screen:
    """Lines on a console, and a view below them."""

    def __init__(self, file: int, *, encoding: str, lost: Callable[[str], None]) -> None:
        """
        Args:
            file: descriptor of the console, of which this keeps a copy.
            lost: is told why nothing can be shown any more.
        """
        self._file, self._encoding, self._lost = os.dup(file), encoding, lost
        self.is_terminal = os.isatty(file)
        self._lines: deque[tuple[str, str | None, bool]] = deque()
        self._num_left_out = 0
        self._view: View | None = None
        self._drawn: Sequence[str] = ()
        self._num_rows = 0
        self._drawn_at, self._drawn_size = 0.0, (0, 0)
        self._is_closing = self._is_gone = False
        self._news = threading.Condition()
        self._thread = threading.Thread(target=self._run, name="console", daemon=True)
        self._thread.start()

    def say(self, text: str, style: str | None = None, *, is_row: bool = False) -> None:
        """Show a text above the view; on a terminal in a style, and of a row the columns that have room. Where too much
        waits, it is left out and counted."""
        with self._news:
            if self._is_gone:
                return
            if len(self._lines) >= MAX_LINES:
                self._num_left_out += 1
                return
            self._lines.append((text, style, is_row))
            self._news.notify()

    def show(self, view: View | None) -> None:
        """Keep a view below the lines from here on, where the console takes one."""
        if view is None or takes_view(self._file):
            with self._news:
                self._view = view
                self._news.notify()

    def close(self) -> bool:
        """Take the view away, and show the last lines. Returns False where the console is gone, or has not taken them
        within :data:`CLOSE_S`."""
        with self._news:
            self._is_closing = True
            self._news.notify()
        self._thread.join(CLOSE_S)
        return not (self._is_gone or self._thread.is_alive())

    def _run(self) -> None:
        try:
            while self._step():
                if self.is_terminal:
                    time.sleep(PAUSE_S)
        except OSError as error:
            with self._news:
                self._is_gone = True
                self._lines.clear()
            self._lost(str(error))
        finally:
            with suppress(OSError):
                os.close(self._file)

    def _step(self) -> bool:
        """Write what there is; return whether anything may come."""
        with self._news:
            if not self._lines and not self._is_closing:
                self._news.wait(None if self._view is None and not self._num_rows else REDRAW_S)
            lines, closing = [*self._lines], self._is_closing
            self._lines.clear()
            left_out, self._num_left_out = self._num_left_out, 0
            view = None if closing else self._view
        if left_out:
            lines.append((f"({left_out} lines were left out here; the log of the run has them)", None, False))
        self._write(self._erased() + "".join(self._shown(*line) for line in lines) + self._rows(view))
        return not closing

    def _shown(self, text: str, style: str | None, is_row: bool) -> str:
        if is_row and self.is_terminal:
            text = with_room(text, self._size()[0])
        if style is None or not self.is_terminal:
            return f"{text}\n"
        from rich.console import Console  # most commands end before they need it
        from rich.text import Text

        out = io.StringIO()
        Console(file=out, force_terminal=True, highlight=False, soft_wrap=True).print(Text(text, style))
        return out.getvalue()

    def _erased(self) -> str:
        """Return what takes the view away. After a change of the width a piece of the old one may stay above: how many
        rows it has by now only the terminal knows, and lines must not be lost."""
        rows, self._num_rows = self._num_rows, 0
        return f"\r\x1b[{rows}A\x1b[J" if rows else ""

    def _rows(self, view: View | None) -> str:
        if view is None:
            return ""
        width, height = self._size()
        if height < LEAST_ROWS:
            return ""
        now = time.monotonic()
        if now - self._drawn_at >= REDRAW_S - PAUSE_S or self._drawn_size != (width, height):
            self._drawn, self._drawn_at, self._drawn_size = view(width, height - 2), now, (width, height)
        self._num_rows = len(self._drawn)
        rows = "".join(f"{row}\n" for row in self._drawn)
        return rows.encode(self._encoding, errors="replace").decode(self._encoding)  # an escape would be wider

    def _size(self) -> tuple[int, int]:
        try:
            columns, rows = os.get_terminal_size(self._file)
        except OSError:
            columns, rows = 80, 24
        return (columns or 80) - 1, rows or 24  # a full last column would wrap on some terminals

    def _write(self, text: str) -> None:
        data = text.encode(self._encoding, errors="backslashreplace")
        while data:
            data = data[os.write(self._file, data) :]
