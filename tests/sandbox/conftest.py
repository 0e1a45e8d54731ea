from __future__ import annotations

from collections.abc import Iterator

import pytest

from r1ray.sandbox.pool import Sandbox
from tests import tools
from tests.sandbox.outside import Outside


@pytest.fixture(scope="package", params=["bubblewrap", "landlock"])
def sandbox(request: pytest.FixtureRequest) -> Iterator[Sandbox]:
    tools.require(request.param)
    with Sandbox(mode=request.param, num_slots=1) as made:
        yield made


@pytest.fixture(scope="package")
def outside() -> Iterator[Outside]:
    made = Outside()
    yield made
    made.close()
