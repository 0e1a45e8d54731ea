"""Commands that look at a run, given its address."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from r1ray.commands import report, status
from r1ray.commands.export import command as export
from r1ray.errors import UserError
from r1ray.mirror import view
from r1ray.mirror.lease import Lease
from r1ray.mirror.manifest import Manifest, newest
from r1ray.mirror.store import Store
from r1ray.mirror.upward import Upward
from r1ray.mirror.view import folder_of
from r1ray.runtime.own_process import Name, OwnProcess
from r1ray.telemetry.driver_status import DriverStatus
from tests.mirror.planted import contents, step

pytestmark = pytest.mark.needs("weed")


@pytest.fixture
def mirror(address: str, run_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Upward:
    monkeypatch.setattr(view, "default_scratch", lambda: tmp_path / "scratch")
    step(run_folder, 7)
    made = DriverStatus(run_folder, OwnProcess(Name("driver", 0), run_folder / "logs" / "driver-0.log"))
    made.begin_stage("rl", run_folder)
    made.write()
    store = Store(address)
    lease = Lease(store, "one")
    lease.acquire()
    return Upward(store, lease, run_folder, writer="one", last=None)


def test_the_status_of_a_run_is_shown_without_its_checkpoints(
    mirror: Upward, address: str, run_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    mirror.round()
    status.command([address, "--json"])
    assert json.loads(capsys.readouterr().out)["step"] == 7
    seen = Path(folder_of(address, with_units=False))
    assert seen != run_folder and not (seen / "checkpoints").exists()
    step(run_folder, 8)
    mirror.round()
    status.command([f"{address}/", "--json"])
    assert json.loads(capsys.readouterr().out)["step"] == 8
    assert contents(Path(folder_of(address, with_units=True))).keys() == contents(run_folder).keys()


def test_a_report_of_an_address_is_made_where_the_user_is(
    mirror: Upward, address: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mirror.round()
    monkeypatch.chdir(tmp_path)
    report.command([address])
    assert (tmp_path / "report.html").stat().st_size > 10_000


def test_a_copy_is_begun_anew_where_the_run_has_gone_on_meanwhile(
    mirror: Upward, address: str, run_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mirror.round()
    old = newest(Store(address))
    for number in (8, 9, 10):
        step(run_folder, number)
        mirror.round()
    answers: list[Manifest | None] = [old]
    monkeypatch.setattr(view, "newest", lambda store: answers.pop() if answers else newest(store))
    assert contents(Path(folder_of(address, with_units=True))).keys() == contents(run_folder).keys()


def test_an_address_without_a_run_is_refused(s3: object, address: str) -> None:
    with pytest.raises(UserError, match=rf"{address}: no run is there"):
        status.command([address])
    with pytest.raises(UserError, match="RUN_DIR=s3://bucket/a%20b: needs a path, or an address"):
        status.command(["s3://bucket/a%20b"])
    with pytest.raises(UserError, match="needs --out DIR"):
        export([address])
