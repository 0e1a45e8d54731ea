"""Which runs of the matrix a test meets: those that have not passed yet only where results are recorded."""

from __future__ import annotations

import os

import pytest
from _pytest.mark import ParameterSet

from tests.faults.cells import NOT_YET, RUNS
from tests.faults.results import RECORD


def runs(*beginnings: str) -> list[ParameterSet]:
    """Return the runs whose names begin so, as parameters of a test."""
    left_out = {} if os.environ.get(RECORD) == "1" else NOT_YET
    return [
        pytest.param(name, marks=[pytest.mark.skip(reason=left_out[name])] if name in left_out else [])
        for name in RUNS
        if name.startswith(beginnings)
    ]
