"""Commands that judge: what they are told, what they say, and how they end."""

from __future__ import annotations

import asyncio
import os
import sys
import time
from pathlib import Path

import pytest

from r1ray.checks import ExternalCommand
from r1ray.errors import InfrastructureError, UserError
from r1ray.reward.command import command_score
from r1ray.types import Score


def run(code: str, *, deadline_s: float = 20.0, text: str = "<think>.</think>patch") -> Score:
    check = ExternalCommand(argv=(sys.executable, "-c", code), task='{"id": "t1"}', deadline_s=deadline_s)
    return asyncio.run(command_score(check, "Fix it.", text))


def test_the_command_gets_the_task_and_the_response() -> None:
    code = (
        "import json, sys; r = json.load(sys.stdin); print('a line of its log'); "
        "print(json.dumps({'passed': r['task']['id'] == 't1' and r['prompt'] == 'Fix it.' and r['answer'] == 'patch' "
        "and '<think>' in r['response'], 'detail': '3 tests'}))"
    )
    score = run(code)
    assert (score.value, score.label, score.extracted, score.detail) == (1.0, "correct", "patch", "3 tests")


def test_a_failed_task_is_scored_zero_and_a_score_is_taken() -> None:
    assert run("print('{\"passed\": false}')").value == 0.0
    assert run('print(\'{"passed": false, "score": 0.25}\')').value == 0.25


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("import sys; sys.exit('no container')", "exit code 1: no container"),
        ("print('{\"passed\": true}'); raise SystemExit(3)", "exit code 3"),
        ("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", "exit code -9"),
        ("print('all well')", "printed no"),
        ('print(\'{"passed": "yes"}\')', "printed no"),
        ("", "printed no"),
    ],
)
def test_a_command_that_fails_is_no_score(code: str, message: str) -> None:
    with pytest.raises(InfrastructureError, match=message):
        run(code)


def test_past_its_deadline_all_that_it_started_ends(tmp_path: Path) -> None:
    child = f"import os, time; open({str(tmp_path / 'pid')!r}, 'w').write(str(os.getpid())); time.sleep(60)"
    code = f"import subprocess, sys, time; subprocess.Popen([sys.executable, '-c', {child!r}]); time.sleep(60)"
    started = time.monotonic()
    with pytest.raises(InfrastructureError, match="longer than its 2 s"):
        run(code, deadline_s=2.0)
    assert time.monotonic() - started < 20
    pid = int((tmp_path / "pid").read_text())
    for _ in range(100):
        if not Path(f"/proc/{pid}").exists() or Path(f"/proc/{pid}/stat").read_text().split()[2] == "Z":
            return
        time.sleep(0.05)
    os.kill(pid, 9)
    pytest.fail("the command's child is still there")


def test_what_a_command_leaves_behind_does_not_hold_its_result() -> None:
    """Its deadline is before the end of what it leaves."""
    child = "import time; time.sleep(600)"
    code = f"import subprocess, sys; subprocess.Popen([sys.executable, '-c', {child!r}]); print('{{\"passed\": true}}')"
    assert run(code, deadline_s=60.0).value == 1.0


def test_a_flood_of_output_is_read_and_its_end_counts() -> None:
    code = "import sys; sys.stdout.write('x' * 5_000_000 + '\\n'); print('{\"passed\": true}')"
    assert run(code).value == 1.0


def test_a_command_that_does_not_exist_is_the_users_mistake() -> None:
    check = ExternalCommand(argv=("no-such-harness",), task="{}", deadline_s=1.0)
    with pytest.raises(UserError, match="no-such-harness cannot be started"):
        asyncio.run(command_score(check, "", "x"))
