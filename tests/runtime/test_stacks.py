from __future__ import annotations

import time
from pathlib import Path

from r1ray.runtime.stacks import ask_for_stacks
from tests.runtime.children import child

BUSY = """
import sys
from r1ray.runtime.stacks import answer_in

def in_a_loop():
    sum(i for i in range(10**12))

with open({log!r}, "a") as file:
    answer_in(file)
    file.write("ready\\n")
    file.flush()
    in_a_loop()
"""


def test_a_process_that_never_comes_to_rest_shows_its_stack_and_goes_on(tmp_path: Path) -> None:
    log = tmp_path / "log"
    with child(BUSY.format(log=str(log))) as process:
        deadline = time.monotonic() + 20
        while not (log.is_file() and log.read_text()):
            assert time.monotonic() < deadline
            time.sleep(0.02)
        for _ in range(2):
            stack = ask_for_stacks({process.pid: log})[process.pid]
            assert stack.startswith("Current thread 0x") and "in in_a_loop" in stack and "ready" not in stack
        assert process.poll() is None


def test_of_a_process_that_is_gone_there_is_no_stack(tmp_path: Path) -> None:
    with child("pass") as process:
        process.wait()
    assert ask_for_stacks({process.pid: tmp_path / "log"}) == {process.pid: ""}
