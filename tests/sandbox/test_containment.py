"""Hostile programs get nothing and harm nothing; harmless ones run. In each mode that this machine offers."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from r1ray.sandbox.languages import LANGUAGES
from r1ray.sandbox.pool import Sandbox
from tests.sandbox.cases import CONTAINED, HACKS, HARMLESS
from tests.sandbox.outside import Outside, complaints

pytestmark = pytest.mark.alone

SYSTEM_PYTHON = "/usr/bin/python3"


def _shared_cases() -> list[dict[str, Any]]:
    folder = os.environ.get("R1RAY_CASES")
    files = [Path(folder) / name for name in ("hostile.jsonl", "benign.jsonl")] if folder else []
    return [json.loads(line) for file in files for line in file.read_text().splitlines()]


def runnable(row: dict[str, Any]) -> dict[str, Any]:
    missing = LANGUAGES[row["language"]].missing
    if missing:
        pytest.skip(f"{missing[0]} is not installed: needs {LANGUAGES[row['language']].package}")
    return row


@pytest.mark.parametrize("row", [*CONTAINED, *HACKS, *HARMLESS], ids=lambda row: row["id"])
def test_a_program_is_contained_and_judged(row: dict[str, Any], sandbox: Sandbox, outside: Outside) -> None:
    assert complaints(runnable(row), sandbox, outside) == []


@pytest.mark.skipif(not os.environ.get("R1RAY_CASES"), reason="R1RAY_CASES names no folder of cases")
@pytest.mark.parametrize("row", _shared_cases(), ids=lambda row: row["id"])
def test_a_case_of_the_acceptance_set(row: dict[str, Any], sandbox: Sandbox, outside: Outside) -> None:
    assert complaints(runnable(row), sandbox, outside) == []


POD_PROGRAM = """
import sys
from r1ray.sandbox.languages import LANGUAGES
from r1ray.sandbox.pool import Sandbox
from tests.sandbox.cases import CONTAINED, HACKS, HARMLESS
from tests.sandbox.outside import Outside, complaints
with Sandbox(num_slots=1) as sandbox:
    outside = Outside()
    rows = [row for row in (*CONTAINED, *HACKS, *HARMLESS) if not LANGUAGES[row["language"]].missing]
    bad = [(row["id"], found) for row in rows if (found := complaints(row, sandbox, outside))]
    outside.close()
    print(sandbox.mode, len(rows), bad)
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="becoming an unprivileged pod user needs root")
@pytest.mark.skipif(not Path(SYSTEM_PYTHON).exists(), reason="no Python that every user may read")
def test_it_holds_in_a_pod_without_privileges_and_without_user_namespaces(tmp_path_factory: Any) -> None:
    folder = Path("/tmp") / f"r1ray-pod-{os.getpid()}"  # tmp_path lies in a folder that only its owner may enter
    try:
        shutil.copytree(Path(__file__).parents[2] / "r1ray", folder / "r1ray")
        shutil.copytree(Path(__file__).parents[1], folder / "tests", ignore=shutil.ignore_patterns("__pycache__"))
        for name in ("landlockpy", "numpy", "numpy.libs"):
            shutil.copytree(Path(_site_packages()) / name, folder / name)
        shutil.copy(Path(_site_packages()) / "pyseccomp.py", folder)
        for path in (folder, *folder.rglob("*")):
            path.chmod(0o755 if path.is_dir() else 0o644)
        done = subprocess.run(
            [SYSTEM_PYTHON, "-m", "tests.sandbox.pod", SYSTEM_PYTHON, "-c", POD_PROGRAM],
            cwd=folder,
            env={"PYTHONPATH": str(folder), "PATH": os.environ["PATH"]},
            capture_output=True,
            text=True,
            timeout=300,
        )
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    assert done.returncode == 0, done.stderr
    mode, _, bad = done.stdout.strip().split(" ", 2)
    assert (mode, bad) == ("landlock", "[]")


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
