"""One sandbox for all tests of repositories."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest

from r1ray.config import SandboxConfig
from r1ray.environments.repository.runner import RepositoryRunner
from r1ray.environments.world_context import WorldContext
from tests import tools


@pytest.fixture(scope="package")
def context() -> Iterator[WorldContext]:
    tools.require("isolation")
    # Limits that a busy machine keeps; those that are to be met have smaller ones of their own.
    made = WorldContext(sandbox=SandboxConfig(cpu_s=10.0), step_timeout_s=300.0)
    yield made
    asyncio.run(made.close())


@pytest.fixture(scope="package")
def runner(context: WorldContext) -> RepositoryRunner:
    return context.shared("repository", lambda: RepositoryRunner(context))
