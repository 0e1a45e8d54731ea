"""Log records of r1ray's own loggers, shown to the user: ``logging.getLogger(__name__)`` of each module -> "r1ray" ->
the console. The root logger, and with it what Ray, vLLM and torch log, is left alone.
"""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TextIO

from r1ray.runtime.harmless import harmless
from r1ray.telemetry.screen import Screen, View, takes_view

ROOT = "r1ray"
"""The logger above those of all modules."""


class ConsoleHandler(logging.Handler):
    """Prints each record, with control characters made harmless. Unlike ``logging.StreamHandler`` it raises what the
    stream raises: a command whose reader has gone, or whose disk is full, ends. A run has a log, and a console that is
    written by a thread of its own (:mod:`r1ray.telemetry.screen`): it goes on without one that is slow or gone."""

    def __init__(self, stream: TextIO, *, prefix: str = "") -> None:
        super().__init__()
        self.stream = stream
        self._screen: Screen | None = None
        self._is_gone = False
        self.setFormatter(logging.Formatter(f"{prefix}%(message)s"))

    def emit(self, record: logging.LogRecord) -> None:
        """Print a record; on a terminal in its ``style``, where it has one."""
        text, style = harmless(self.format(record)), getattr(record, "style", None)
        if self._screen is not None:
            self._screen.say(text, style, is_row=getattr(record, "is_row", False))
            return
        if self._is_gone:
            return
        if style is None or not self.stream.isatty():
            print(text, file=self.stream, flush=True)
            return
        from rich.console import Console  # most commands end before they need it
        from rich.text import Text

        Console(file=self.stream, highlight=False, soft_wrap=True).print(Text(text, style))

    @property
    def takes_view(self) -> bool:
        """Return whether a view can be kept below the records, and none is yet."""
        try:
            return self._screen is None and takes_view(self.stream.fileno())
        except (OSError, ValueError):
            return False

    def move_to_screen(self) -> Screen | None:
        """Leave the printing to a screen on the file that the stream is of: what the process prints elsewhere may go to
        a log from here on. Returns None, and changes nothing, where the stream is of no file."""
        try:
            self.stream.flush()
            file = self.stream.fileno()
        except (OSError, ValueError):
            return None
        self._screen = Screen(file, encoding=self.stream.encoding, lost=_say_lost)
        return self._screen

    def move_back(self) -> None:
        """End the screen, and print to the stream again, unless nobody takes that any more."""
        screen, self._screen = self._screen, None
        if screen is not None:
            self._is_gone = not screen.close()


def _say_lost(why: str) -> None:
    print(f"the console is lost ({why}); the run goes on", file=sys.stderr, flush=True)


@contextmanager
def console(stream: TextIO, *, prefix: str = "") -> Iterator[None]:
    """Show records of level INFO and above on ``stream``, each line of text after ``prefix``.

    Records do not reach the root logger meanwhile: a library that gives it a handler would print them twice.
    """
    logger, handler = logging.getLogger(ROOT), ConsoleHandler(stream, prefix=prefix)
    level, propagates = logger.level, logger.propagate
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    logger.propagate = False
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.setLevel(level)
        logger.propagate = propagates


@contextmanager
def chatter_in(log: TextIO) -> Iterator[list[Screen]]:
    """Have what this process and its libraries print go to ``log``, while r1ray's own records go on to be shown where
    they were, on the screens that are yielded. What ends the block is printed where it always was."""
    handlers = _handlers()
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    screens = [screen for handler in handlers if (screen := handler.move_to_screen()) is not None]
    kept = {number: os.dup(number) for number in (1, 2)}
    try:
        for number in kept:
            os.dup2(log.fileno(), number)
        yield screens
    finally:
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
        for handler in handlers:
            handler.move_back()
        for number, saved in kept.items():
            os.dup2(saved, number)
            os.close(saved)


@contextmanager
def shown_below(view: View) -> Iterator[None]:
    """Keep a view below r1ray's records while the block lasts, on a terminal where no run keeps its own."""
    handlers = [each for each in _handlers() if each.takes_view]
    try:
        for handler in handlers:
            if (screen := handler.move_to_screen()) is not None:
                screen.show(view)
        yield
    finally:
        for handler in handlers:
            handler.move_back()


def _handlers() -> list[ConsoleHandler]:
    return [each for each in logging.getLogger(ROOT).handlers if isinstance(each, ConsoleHandler)]
