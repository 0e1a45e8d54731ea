"""A head that is away for long is lost; a moment is none. (tests/faults loses real ones.)"""

from __future__ import annotations

import socket

import pytest

from r1ray.cluster.head_watch import Look


@pytest.fixture
def nobody() -> str:
    """An address where nothing listens."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        return f"127.0.0.1:{server.getsockname()[1]}"


def test_a_head_that_is_away_for_a_moment_is_waited_for(nobody: str) -> None:
    assert Look(nobody, "a node", patience_s=60).loss() is None


def test_a_head_that_is_away_for_too_long_is_lost_and_named(nobody: str) -> None:
    loss = Look(nobody, "a node", patience_s=0).loss()
    assert loss is not None and loss.startswith(f"the head of the Ray cluster at {nobody} has not been there for 0 s: ")
