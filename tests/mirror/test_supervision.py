"""A run that has its folder copied, on a real server that goes and comes."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from r1ray.config.mirror import MirrorConfig
from r1ray.errors import InfrastructureError, UserError
from r1ray.mirror import lease, supervision
from r1ray.mirror.downward import copy_down
from r1ray.mirror.lease import Lease
from r1ray.mirror.manifest import newest
from r1ray.mirror.store import Store
from r1ray.mirror.supervision import counts, mirrored
from tests.listening import listening
from tests.mirror.planted import contents, step
from tests.mirror.servers import S3Server, s3_server

pytestmark = pytest.mark.needs("weed")
SOON = MirrorConfig(every_s=0.1, end_s=20.0)
PATIENCE_S = 60.0


@pytest.fixture(autouse=True)
def _short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervision, "FIRST_PAUSE_S", 0.1)


def until(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def copied(address: str, to: Path) -> dict[str, bytes]:
    found = newest(Store(address))
    assert found is not None
    copy_down(Store(address), found, to)
    return contents(to)


def test_a_run_is_copied_and_goes_on_from_the_copy_on_another_node(
    address: str, run_folder: Path, tmp_path: Path
) -> None:
    with mirrored(run_folder, address, SOON):
        step(run_folder, 1)
        until(lambda: (found := newest(Store(address))) and "checkpoints/1/controller.json" in found.files)
        assert counts().keys() == {"mirror/behind_s"} and counts()["mirror/behind_s"] < PATIENCE_S
        step(run_folder, 2)
    assert counts() == {}
    assert copied(address, tmp_path / "copy") == contents(run_folder)
    other = tmp_path / "other"
    other.mkdir()
    with mirrored(other, address, SOON):
        assert contents(other) == contents(run_folder)
        step(other, 3)
    # What is on the first node is older now, and makes place.
    step(run_folder, 4)
    with mirrored(run_folder, address, SOON):
        assert contents(run_folder) == contents(other)


def test_what_was_not_copied_stays_on_its_node_and_is_copied_by_the_next_command(
    address: str, run_folder: Path, tmp_path: Path
) -> None:
    with mirrored(run_folder, address, SOON):
        step(run_folder, 1)
    step(run_folder, 2)  # by a run that was killed together with its copying process
    with mirrored(run_folder, address, SOON):
        assert "checkpoints/2/controller.json" in contents(run_folder)
    assert copied(address, tmp_path / "copy") == contents(run_folder)


def test_a_copying_process_that_is_killed_is_started_again(address: str, run_folder: Path, tmp_path: Path) -> None:
    with mirrored(run_folder, address, SOON):
        step(run_folder, 1)
        mirror = supervision._current
        assert mirror is not None and mirror._process is not None
        os.kill(mirror._process.pid, signal.SIGKILL)
        until(lambda: counts().get("faults/mirror") == 1.0)
        step(run_folder, 2)
    assert copied(address, tmp_path / "copy") == contents(run_folder)


def test_a_command_that_made_nothing_leaves_nothing(address: str, run_folder: Path) -> None:
    with pytest.raises(UserError, match="refused"), mirrored(run_folder, address, SOON):
        (run_folder / "config.yaml").write_text("steps: 1\n")
        raise UserError("refused")
    assert Store(address).keys("") == []


def test_a_second_writer_is_refused(address: str, run_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    holder = Lease(Store(address), "other", beat_s=0.1, lease_s=1.0)
    holder.acquire()
    holder.keep()
    monkeypatch.setattr(supervision, "LEASE", (0.1, 1.0))
    with (
        pytest.raises(UserError, match=rf"{address}: another process works there: process {os.getpid()} on"),
        mirrored(run_folder, address, SOON),
    ):
        pass
    holder.give_back()


def test_a_run_whose_folder_another_process_has_taken_over_ends(
    address: str, run_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(supervision, "LEASE", (0.1, 1.0))
    ended: list[int] = []
    before = signal.signal(signal.SIGTERM, lambda number, frame: ended.append(number))
    try:
        with pytest.raises(InfrastructureError, match="another writer"), mirrored(run_folder, address, SOON):
            step(run_folder, 1)
            until(lambda: (found := newest(Store(address))) and "checkpoints/1/controller.json" in found.files)
            store = Store(address)  # from here on there is nothing to copy
            found = store.get(lease.KEY)
            assert found is not None
            while True:
                try:
                    store.replace(lease.KEY, b'{"writer": "other"}', found[1])
                    break
                except Exception:
                    found = store.get(lease.KEY)
                    assert found is not None
            until(lambda: ended)
    finally:
        signal.signal(signal.SIGTERM, before)


@pytest.mark.faults
@pytest.mark.long
def test_a_run_that_another_takes_over_while_nobody_copies_it_ends(
    address: str, run_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(supervision, "LEASE", (0.1, 1.0))
    monkeypatch.setattr(supervision, "FIRST_PAUSE_S", 2.5)
    ended: list[int] = []
    before = signal.signal(signal.SIGTERM, lambda number, frame: ended.append(number))
    other = Lease(Store(address), "other", beat_s=0.1, lease_s=1.0)
    try:
        with pytest.raises(InfrastructureError, match="another writer"), mirrored(run_folder, address, SOON):
            mirror = supervision._current
            assert mirror is not None and mirror._process is not None
            os.kill(mirror._process.pid, signal.SIGKILL)
            assert other.acquire()
            other.keep()
            until(lambda: ended)
    finally:
        signal.signal(signal.SIGTERM, before)
        other.give_back()


def test_ctrl_c_while_another_is_waited_for_ends_at_once_and_leaves_its_lease(address: str, run_folder: Path) -> None:
    Lease(Store(address), "other").acquire()  # and is silent: for the 60 s of a real one
    before = Store(address).get(lease.KEY)
    threading.Timer(1.5, signal.raise_signal, (signal.SIGINT,)).start()
    began = time.monotonic()
    with pytest.raises(KeyboardInterrupt), mirrored(run_folder, address, SOON):
        pass
    assert time.monotonic() - began < 20
    assert Store(address).get(lease.KEY) == before and Store(address).keys("manifests") == []


def test_a_folder_that_cannot_be_written_is_refused(address: str, run_folder: Path, tmp_path: Path) -> None:
    with mirrored(run_folder, address, SOON):
        step(run_folder, 1)
    other = tmp_path / "other"
    other.mkdir()
    (other / "rollouts").symlink_to("/dev/null")
    with pytest.raises(UserError, match=rf"{other}.*: cannot be written"), mirrored(other, address, SOON):
        pass


@pytest.mark.parametrize("is_no_bucket", [True, False])
def test_a_store_that_cannot_be_used_is_refused(
    s3: S3Server, run_folder: Path, monkeypatch: pytest.MonkeyPatch, is_no_bucket: bool
) -> None:
    monkeypatch.setattr(supervision, "FIRST_S", 0.0)
    if not is_no_bucket:
        monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    address = "s3://nobucket/runs/x" if is_no_bucket else "s3://bucket/runs/x"
    with pytest.raises(UserError, match=rf"{address}: cannot be used now"), mirrored(run_folder, address, SOON):
        pass


@pytest.mark.faults
@pytest.mark.long
def test_an_outage_holds_nothing_and_is_made_up_for(
    tmp_path: Path, run_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Once in the middle of a run, and once at its end."""
    address, said = "s3://bucket/runs/mine", list[str]()
    with s3_server(tmp_path / "s3") as server, listening(said.append):
        for name, value in server.environment.items():
            monkeypatch.setenv(name, value)
        with mirrored(run_folder, address, MirrorConfig(every_s=0.1, end_s=60.0)):
            step(run_folder, 1)
            until(lambda: newest(Store(address)))
            server.stop()
            step(run_folder, 2)
            until(lambda: any("cannot be reached" in line for line in said))
            server.start()
        assert copied(address, tmp_path / "copy") == contents(run_folder)
        with (
            pytest.raises(InfrastructureError, match=rf"What came later is in {run_folder} on this node alone"),
            mirrored(run_folder, address, MirrorConfig(every_s=0.1, end_s=1.0)),
        ):
            step(run_folder, 3)
            server.stop()
            step(run_folder, 4)
        server.start()
        monkeypatch.setattr(supervision, "LEASE", (0.1, 1.0))
        with mirrored(run_folder, address, SOON):
            pass
        assert copied(address, tmp_path / "copy") == contents(run_folder)
