"""The same on Google Cloud Storage, whose versions are generations and not checksums: on its emulator."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from r1ray.errors import UserError
from r1ray.mirror import supervision
from r1ray.mirror.downward import copy_down
from r1ray.mirror.lease import Lease
from r1ray.mirror.manifest import FILES, newest
from r1ray.mirror.probe import probe
from r1ray.mirror.store import Store, Taken
from r1ray.mirror.supervision import mirrored
from tests.mirror.planted import contents, step
from tests.mirror.servers import BUCKET, gcs_server
from tests.mirror.test_supervision import SOON

pytestmark = pytest.mark.needs("gcp-storage-emulator")


@pytest.fixture(scope="module")
def gcs() -> Iterator[dict[str, str]]:
    with gcs_server() as environment:
        yield environment


@pytest.fixture
def address(gcs: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> str:
    for name, value in gcs.items():
        monkeypatch.setenv(name, value)
    return f"gs://{BUCKET}/runs/{uuid.uuid4().hex[:8]}"


def test_a_probe_finds_that_conditions_hold(address: str) -> None:
    probe(Store(address))
    assert Store(address).keys("") == []


def test_of_many_who_create_an_object_one_does(address: str) -> None:
    won: list[int] = []

    def race(number: int) -> None:
        try:
            Store(address).create("writer.json", str(number).encode())
            won.append(number)
        except Taken:
            pass

    racers = [threading.Thread(target=race, args=(number,)) for number in range(8)]
    for each in racers:
        each.start()
    for each in racers:
        each.join()
    found = Store(address).get("writer.json")
    assert len(won) == 1 and found is not None and found[0] == str(won[0]).encode()


def test_a_run_is_copied_and_goes_on_on_another_node(address: str, run_folder: Path, tmp_path: Path) -> None:
    for number in (1, 2, 3, 4):
        with mirrored(run_folder, address, SOON):
            step(run_folder, number)
    other = tmp_path / "other"
    other.mkdir()
    with mirrored(other, address, SOON):
        assert contents(other) == contents(run_folder)
        step(other, 5)
    found = newest(Store(address))
    assert found is not None
    copy_down(Store(address), found, tmp_path / "copy")
    assert contents(tmp_path / "copy") == contents(other)
    assert len(Store(address).keys(FILES)) < 5 * len(contents(other))


def test_a_second_writer_is_refused(address: str, run_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    holder = Lease(Store(address), "other", beat_s=0.1, lease_s=1.0)
    holder.acquire()
    holder.keep()
    monkeypatch.setattr(supervision, "LEASE", (0.1, 1.0))
    with pytest.raises(UserError, match="another process works there"), mirrored(run_folder, address, SOON):
        pass
    holder.give_back()
