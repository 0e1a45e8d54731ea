from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from r1ray.environments.agents.folder import new_folder, remove_folder


@pytest.fixture
def folder() -> Iterator[Path]:
    made = new_folder()
    yield made
    remove_folder(made)
