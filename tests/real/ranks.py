"""Ranks of a learner group as processes of their own."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path


def run_ranks(
    module: str, logs: list[Path], arguments: Callable[[int, int], list[str]], *, timeout_s: float
) -> list[int]:
    """``python -m module`` with ``arguments(rank, port)``, one process for each log; returns how they ended. Where
    one exits with an error this fails, with the ends of the logs; where one is killed, so are the others."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-W", "ignore", "-m", module]
    env = os.environ | {"DS_ACCELERATOR": "cpu", "OMP_NUM_THREADS": "1", "VLLM_LOGGING_LEVEL": "ERROR"}
    with ExitStack() as opened:
        ranks = []
        for rank, path in enumerate(logs):
            log = opened.enter_context(path.open("w"))
            process = subprocess.Popen(
                [*command, *arguments(rank, port)], env=env, stdout=log, stderr=subprocess.STDOUT
            )
            ranks.append(process)
            opened.callback(process.wait)
            opened.callback(process.kill)
        deadline = time.monotonic() + timeout_s
        while any(process.poll() is None for process in ranks) and not any(process.poll() for process in ranks):
            assert time.monotonic() < deadline, "the ranks did not end"
            time.sleep(0.1)
        failed = [path for path, process in zip(logs, ranks, strict=True) if (process.poll() or 0) > 0]
        assert not failed, "\n".join(path.read_text()[-3000:] for path in logs)
        if any(process.poll() for process in ranks):
            for process in ranks:
                process.kill()
        return [process.wait() for process in ranks]
