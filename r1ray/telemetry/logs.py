"""Log records of r1ray's own loggers, shown to the user: ``logging.getLogger(__name__)`` of each module -> "r1ray" ->
the console. The root logger, and with it what Ray, vLLM and torch log, is left alone.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TextIO

ROOT = "r1ray"
"""The logger above those of all modules."""


class ConsoleHandler(logging.Handler):
    """Prints each record as it is. Unlike ``logging.StreamHandler`` it raises what the stream raises: a command whose
    reader has gone, or whose disk is full, ends."""

    def __init__(self, stream: TextIO, *, prefix: str = "") -> None:
        super().__init__()
        self._stream = stream
        self.setFormatter(logging.Formatter(f"{prefix}%(message)s"))

    def emit(self, record: logging.LogRecord) -> None:
        """Print a record; on a terminal in its ``style``, where it has one."""
        text, style = self.format(record), getattr(record, "style", None)
        if style is None or not self._stream.isatty():
            print(text, file=self._stream, flush=True)
            return
        from rich.console import Console  # most commands end before they need it
        from rich.text import Text

        Console(file=self._stream, highlight=False, soft_wrap=True).print(Text(text, style))


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
