"""One verifier for all tests of the package: its process takes a second to start."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from r1ray.reward.math.verifier import MathVerifier


@pytest.fixture(scope="session")
def verifier() -> Iterator[MathVerifier]:
    with MathVerifier() as one:
        yield one
