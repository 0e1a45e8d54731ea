from __future__ import annotations

from collections.abc import Iterator

import pytest

from r1ray.sandbox.pool import Sandbox
from tests import tools
from tests.sandbox.outside import GRACE_S, Outside


@pytest.fixture(scope="package", autouse=True)
def patience() -> Iterator[None]:
    """Give slots a minute to remove what a program leaves, for busy machines; one that hangs is lost later."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("r1ray.sandbox.slot.GRACE_S", GRACE_S)
        yield


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
