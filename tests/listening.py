"""Ears for what r1ray logs."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager


class _Listener(logging.Handler):
    def __init__(self, heard: Callable[[str], object]) -> None:
        super().__init__()
        self._heard = heard

    def emit(self, record: logging.LogRecord) -> None:
        self._heard(record.getMessage())


@contextmanager
def listening(heard: Callable[[str], object]) -> Iterator[None]:
    """Call ``heard`` with each message of r1ray's loggers, while it is logged; what it raises, the logging call raises.

    ``main`` shows these on the console: look there at what a whole command prints.
    """
    logger, listener = logging.getLogger("r1ray"), _Listener(heard)
    level = logger.level
    logger.addHandler(listener)
    logger.setLevel(logging.INFO)
    try:
        yield
    finally:
        logger.removeHandler(listener)
        logger.setLevel(level)
