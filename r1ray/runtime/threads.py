"""The threads that compute in a process: their number, and how long one waits for the others before it sleeps.

OpenMP's threads wait for each other by spinning, for milliseconds if nobody says otherwise. That costs nothing while
each has a core. Beside other work on one of the cores it takes the time that the late one needs: small operations on
two threads took more than fourteen times as long as alone, and three times with ``SPIN_COUNT``, which costs nothing
alone (100 steps of a model of 0.4 million parameters, on two cores: 4.1 s alone either way; beside a busy process more
than 60 s and 13 s).
"""

from __future__ import annotations

import os

SPIN = "GOMP_SPINCOUNT"
"""Name of libgomp's setting, which is read when PyTorch is loaded."""
SPIN_COUNT = "10000"
"""Looks at the others before a thread sleeps: some ten microseconds."""


def thread_environment(num_threads: int) -> dict[str, str]:
    """Return the environment variables of an actor that computes on so many threads. A spin count of the user's own
    holds."""
    return {"OMP_NUM_THREADS": str(num_threads), SPIN: os.environ.get(SPIN, SPIN_COUNT)}


def spin_briefly() -> None:
    """Do the same in this process. To be called before PyTorch is loaded."""
    os.environ.setdefault(SPIN, SPIN_COUNT)
