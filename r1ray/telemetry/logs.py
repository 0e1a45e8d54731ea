"""Log records of r1ray's own loggers, shown to the user: ``logging.getLogger(__name__)`` of each module -> "r1ray" ->
the console. The root logger, and with it what Ray, vLLM and torch log, is left alone.
"""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import TextIO

ROOT = "r1ray"
"""The logger above those of all modules."""


class ConsoleHandler(logging.Handler):
    """Prints each record as it is. Unlike ``logging.StreamHandler`` it raises what the stream raises: a command whose
    reader has gone, or whose disk is full, ends. A run whose console goes has a log, and goes on without it."""

    def __init__(self, stream: TextIO, *, prefix: str = "") -> None:
        super().__init__()
        self.stream = stream
        self._has_log = self._is_gone = False
        self.setFormatter(logging.Formatter(f"{prefix}%(message)s"))

    def emit(self, record: logging.LogRecord) -> None:
        """Print a record; on a terminal in its ``style``, where it has one."""
        if self._is_gone:
            return
        try:
            self._print(record)
        except OSError as error:
            if not self._has_log:
                raise
            self._is_gone = True
            print(f"the console is lost ({error}); the run goes on", file=sys.stderr, flush=True)

    def _print(self, record: logging.LogRecord) -> None:
        text, style = self.format(record), getattr(record, "style", None)
        if style is None or not self.stream.isatty():
            print(text, file=self.stream, flush=True)
            return
        from rich.console import Console  # most commands end before they need it
        from rich.text import Text

        Console(file=self.stream, highlight=False, soft_wrap=True).print(Text(text, style))

    def moved_to(self, files: Mapping[int, int]) -> TextIO:
        """Print to a copy of the file that the stream is of, if ``files`` has one; returns the stream that it was. What
        the process prints elsewhere goes to a log from here on."""
        before, self._has_log = self.stream, True
        try:
            copy = files.get(before.fileno())
        except (OSError, ValueError):  # it is of no file
            copy = None
        if copy is not None:
            before.flush()
            self.stream = open(copy, "w", encoding=before.encoding, errors=before.errors, closefd=False)  # noqa: SIM115
        return before

    def move_back(self, stream: TextIO) -> None:
        """Print to the stream again from which :meth:`moved_to` went away."""
        copy, self.stream, self._has_log = self.stream, stream, False
        if copy is not stream:
            with suppress(OSError):  # its reader is gone, which whoever printed was told
                copy.close()


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
def chatter_in(log: TextIO) -> Iterator[None]:
    """Have what this process and its libraries print go to ``log``, while r1ray's own records go on to be shown where
    they were. What ends the block is printed where it always was."""
    handlers = [each for each in logging.getLogger(ROOT).handlers if isinstance(each, ConsoleHandler)]
    kept = {number: os.dup(number) for number in (1, 2)}
    shown = [handler.moved_to(kept) for handler in handlers]
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    try:
        for number in kept:
            os.dup2(log.fileno(), number)
        yield
    finally:
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
        for number, saved in kept.items():
            os.dup2(saved, number)
        for handler, stream in zip(handlers, shown, strict=True):
            handler.move_back(stream)
        for saved in kept.values():
            os.close(saved)
