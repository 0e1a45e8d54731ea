"""Real processes that tests look at."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

JOINED = """
import sys, time
from r1ray.runtime.activity import waiting
from r1ray.runtime.own_process import join, own

def in_here():
    with waiting("group 3/17"):
        own().write()
        print("ready", file=sys.__stderr__, flush=True)
        time.sleep(600)

join()
in_here()
"""
"""Takes the name that its environment holds, and waits for a group."""


@contextmanager
def child(program: str, *, env: dict[str, str] | None = None) -> Iterator[subprocess.Popen[bytes]]:
    """Run a Python program, and kill it at the end of the block."""
    process = subprocess.Popen([sys.executable, "-c", program], env=env, cwd=Path(__file__).parents[2])
    try:
        yield process
    finally:
        process.kill()
        process.wait()
