"""Hostile programs get nothing and harm nothing; harmless ones run. In each mode that this machine offers."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from r1ray.sandbox.languages import LANGUAGES
from r1ray.sandbox.pool import Sandbox
from tests.conftest import TRIES
from tests.sandbox.cases import CONTAINED, HACKS, HARMLESS
from tests.sandbox.outside import Outside, complaints
from tests.tools import SYSTEM_PYTHON, problem

NEED_QUIET_CORES = ("busy", "busy in C, alarms off", "recursion", "pretended starvation")
"""Cases that are judged by the processor time that they get: where others take it, they could only skip."""


def _shared_cases() -> list[dict[str, Any]]:
    folder = os.environ.get("R1RAY_CASES")
    files = [Path(folder) / name for name in ("hostile.jsonl", "benign.jsonl")] if folder else []
    return [json.loads(line) for file in files for line in file.read_text().splitlines()]


def cases(rows: Iterable[dict[str, Any]]) -> pytest.MarkDecorator:
    """Parametrize a test with ``row``."""
    found = []
    for row in rows:
        marks = [pytest.mark.needs(row["language"]), *([pytest.mark.alone] if row["id"] in NEED_QUIET_CORES else [])]
        found.append(pytest.param(row, id=row["id"], marks=marks))
    return pytest.mark.parametrize("row", found)


@cases([*CONTAINED, *HACKS, *HARMLESS])
def test_a_program_is_contained_and_judged(row: dict[str, Any], sandbox: Sandbox, outside: Outside) -> None:
    assert complaints(row, sandbox, outside) == []


@pytest.mark.alone
@pytest.mark.skipif(not os.environ.get("R1RAY_CASES"), reason="R1RAY_CASES names no folder of cases")
@cases(_shared_cases())
def test_a_case_of_the_acceptance_set(row: dict[str, Any], sandbox: Sandbox, outside: Outside) -> None:
    assert complaints(row, sandbox, outside) == []


POD_PROGRAM = """
import asyncio, json, sys
from r1ray.errors import MachineTooBusy
from r1ray.sandbox import slot
from r1ray.sandbox.pool import Sandbox
from r1ray.sandbox.sessions import start_sessions
from tests.sandbox.cases import CONTAINED, HACKS, HARMLESS
from tests.sandbox.outside import GRACE_S, Outside, complaints
slot.GRACE_S = GRACE_S
tries, *languages = json.loads(sys.argv[1])
rows = [row for row in (*CONTAINED, *HACKS, *HARMLESS) if row["language"] in languages]
bad, unjudged = [], []
with Sandbox(num_slots=1) as sandbox:
    outside = Outside()
    for row in rows:
        for left in reversed(range(tries)):
            try:
                bad += [(row["id"], found) for found in complaints(row, sandbox, outside)]
                break
            except MachineTooBusy:
                unjudged += [] if left else [row["id"]]
    outside.close()
async def in_a_session():
    sessions = await start_sessions()
    session = await sessions.open()
    cells = [await sessions.run(session, source) for source in ("x = open('f', 'w').write('abc')", "x")]
    await sessions.close()
    return [sessions.mode, cells[1].output]
print(json.dumps([sandbox.mode, len(rows), bad, unjudged, asyncio.run(in_a_session())]))
"""


@pytest.mark.alone
@pytest.mark.needs("root", "landlock", "system python")
def test_it_holds_in_a_pod_without_privileges_and_without_user_namespaces() -> None:
    folder = Path("/tmp") / f"r1ray-pod-{os.getpid()}"  # tmp_path lies in a folder that only its owner may enter
    asked = json.dumps([TRIES, *(name for name in LANGUAGES if not problem(name))])
    try:
        shutil.copytree(Path(__file__).parents[2] / "r1ray", folder / "r1ray")
        shutil.copytree(Path(__file__).parents[1], folder / "tests", ignore=shutil.ignore_patterns("__pycache__"))
        for name in ("landlockpy", "numpy", "numpy.libs"):
            shutil.copytree(Path(_site_packages()) / name, folder / name)
        shutil.copy(Path(_site_packages()) / "pyseccomp.py", folder)
        for path in (folder, *folder.rglob("*")):
            path.chmod(0o755 if path.is_dir() else 0o644)
        done = subprocess.run(
            [SYSTEM_PYTHON, "-m", "tests.sandbox.pod", SYSTEM_PYTHON, "-c", POD_PROGRAM, asked],
            cwd=folder,
            env={"PYTHONPATH": str(folder), "PATH": os.environ["PATH"]},
            capture_output=True,
            text=True,
            timeout=900,
        )
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    assert done.returncode == 0, done.stderr
    mode, num_rows, bad, unjudged, session = json.loads(done.stdout)
    assert (mode, bad) == ("landlock", []) and num_rows > 0
    assert session == ["landlock", "3\n"]
    if unjudged:
        pytest.skip(f"the machine is too busy to judge {', '.join(unjudged)}; the rest is contained")


def _site_packages() -> str:
    import landlockpy

    return str(Path(landlockpy.__file__).parents[1])


NAIVE = """
import json, sys
row = json.load(sys.stdin)
results = []
def grade():
    space = {"__name__": "__main__"}
    exec(row["code"], space)
    if row["kind"] == "func":
        for call, expected in zip(row["calls"], row["expected"]):
            if space[row["entry"]](*call) != expected:
                return False
    else:
        exec(row["tests"], space)
        space["check"](space[row["entry"]])
    return True
if not grade():
    sys.exit(1)
"""


def test_a_naive_grader_pays_for_the_same_hacks() -> None:
    """It runs program and tests in one process and takes exit code 0 for a pass, as graders in the field do."""
    paid = []
    for row in HACKS:
        if row["kind"] != "stdio":
            done = subprocess.run(
                [sys.executable, "-c", NAIVE], input=json.dumps(row), capture_output=True, text=True, timeout=60
            )
            paid += [row["id"]] if done.returncode == 0 else []
    assert {"true for one", "exit in the call", "exit at import", "equal to everything, in an assert"} <= {*paid}
