"""Exit codes of the ``r1ray`` command."""

from __future__ import annotations

DONE = 0
NOT_RIGHT = 1
"""The command did its work, and what it was asked about is not right: ``doctor`` found something red,
``replay`` found another loss or gradient than was logged, or ``audit`` a wrong response that is paid."""
USER = 2
"""The user's input: one or two sentences on stderr, no traceback, and nothing was started. Or a reward function of the
user's ended a run (``on_error``): with its traceback; the same command does the same until the function is mended."""
FAULT = 3
"""A fault ended it: a machine, a process or a service failed, or code raised what nobody expected."""
INTERRUPTED = 130
"""Ctrl-C, as shells count it: 128 + SIGINT."""
TERMINATED = 143
"""SIGTERM: 128 + 15. A run has ended after its step, with a checkpoint."""
