"""Everything that audits have begun ends before the tests of other packages begin."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.reward.audit.examined import CLOSING


@pytest.fixture(scope="package", autouse=True)
def closed() -> Iterator[None]:
    yield
    CLOSING.shutdown()
