"""Copying processes that end at any of their writes: what is in the store then, and how others go on."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path

import pytest

from tests.mirror.faulty import HOW, Case
from tests.mirror.servers import S3Server

pytestmark = pytest.mark.needs("weed")
NUM_WRITES = 22
"""Of a process without a fault: at least so many."""
FAULTS = [
    Case(at, how, is_after, is_elsewhere=(at + is_after) % 2 == 0)
    for at in range(NUM_WRITES)
    for how in HOW[:3]
    for is_after in (False, True)
]


def run(cases: list[Case], address: str, tmp_path: Path) -> list[dict[str, object]]:
    command = [sys.executable, "-m", "tests.mirror.faulty", address, tmp_path, json.dumps(list(map(asdict, cases)))]
    root = Path(__file__).parents[2]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, timeout=1500, env=dict(os.environ))
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_a_process_makes_each_kind_of_write(address: str, tmp_path: Path) -> None:
    (found,) = run([Case(0, "none", False, True)], address, tmp_path)
    writes = found["writes"]
    assert found["problem"] == "" and isinstance(writes, list) and len(writes) >= NUM_WRITES
    kinds = {str(each).partition("/")[0] for each in writes}
    assert kinds == {"create writer.json", "create manifests", "put", "remove", "give back"}


@pytest.mark.faults
@pytest.mark.parametrize(
    "cases",
    [
        pytest.param(FAULTS[5::33], id="some"),
        pytest.param(FAULTS, id="all", marks=pytest.mark.long),
    ],
)
def test_whatever_ends_a_process_at_a_write_leaves_a_whole_state_and_no_hang(
    s3: S3Server, address: str, tmp_path: Path, cases: list[Case]
) -> None:
    found = run(cases, address, tmp_path)
    assert len(found) == len(cases)
    assert [each for each in found if each["problem"]] == []
    assert s3.unfinished() == []
