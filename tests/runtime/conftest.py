"""Fixtures of several files here."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from r1ray.runtime.own_process import Name, OwnProcess, be


@pytest.fixture
def driver(tmp_path: Path) -> Iterator[OwnProcess]:
    """This process as the driver of a run."""
    process = OwnProcess(Name("driver", 0), tmp_path / "driver-0.log")
    be(process)
    yield process
    be(None)
