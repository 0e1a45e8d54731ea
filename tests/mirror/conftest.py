from __future__ import annotations

import os
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.mirror.servers import BUCKET, S3Server, s3_server


@pytest.fixture(scope="session")
def s3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    """One server for all tests: each works below an address of its own."""
    with s3_server(tmp_path_factory.mktemp("s3")) as server:
        before = dict(os.environ)
        os.environ.update(server.environment)
        yield server
        os.environ.clear()
        os.environ.update(before)


@pytest.fixture
def address(s3: S3Server) -> str:
    return f"s3://{BUCKET}/runs/{uuid.uuid4().hex[:8]}"


@pytest.fixture
def run_folder(tmp_path: Path) -> Path:
    folder = tmp_path / "runs" / "mine"
    folder.mkdir(parents=True)
    return folder
