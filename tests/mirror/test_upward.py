"""A folder, the store, and another folder: on a real server of S3."""

from __future__ import annotations

import errno
import json
import os
import shutil
import threading
from pathlib import Path
from typing import Any

import pytest

from r1ray.errors import UserError
from r1ray.mirror.downward import copy_down
from r1ray.mirror.lease import KEY, Lease, LeaseLost
from r1ray.mirror.manifest import FILES, MANIFESTS, Manifest, newest
from r1ray.mirror.scan import scan
from r1ray.mirror.store import Store
from r1ray.mirror.upward import MAX_SMALL, Upward
from r1ray.runtime.files import write_text
from r1ray.telemetry.metrics import append_row
from tests.listening import listening
from tests.mirror.planted import back_to, checkpoint, contents, step

pytestmark = pytest.mark.needs("weed")
SMALL = 100_000


def upward(address: str, folder: Path, *, writer: str = "one", part_bytes: int = SMALL) -> Upward:
    store = Store(address)
    lease = Lease(store, writer, beat_s=0.1, lease_s=0.6)
    lease.acquire()
    made = Upward(store, lease, folder, writer=writer, last=newest(store), part_bytes=part_bytes)
    made.fence()
    return made


def newest_of(address: str) -> Manifest:
    found = newest(Store(address))
    assert found is not None
    return found


def test_what_goes_up_comes_down_the_same(address: str, run_folder: Path, tmp_path: Path) -> None:
    step(run_folder, 1)
    (run_folder / "empty").touch()
    (run_folder / "läuft, {so}='x' #1?.txt").write_text("a name")
    assert upward(address, run_folder).round() > SMALL
    manifest = newest_of(address)
    assert len(manifest.files["checkpoints/1/learner/state.pt"].parts) == 3
    assert copy_down(Store(address), manifest, tmp_path / "other") == len(contents(run_folder))
    assert contents(tmp_path / "other") == contents(run_folder)
    assert copy_down(Store(address), manifest, tmp_path / "other") == 0


def test_only_what_has_changed_goes_up_again(address: str, run_folder: Path) -> None:
    step(run_folder, 1)
    mirror = upward(address, run_folder)
    mirror.round()
    before = newest_of(address)
    assert mirror.round() == 0 and newest_of(address).number == before.number
    append_row(run_folder / "metrics.jsonl", {"step": 2})
    assert mirror.round() == len('{"step": 2}\n')
    parts = newest_of(address).files["metrics.jsonl"].parts
    assert [part.num_bytes for part in parts[1:]] == [12] and parts[0] in before.files["metrics.jsonl"].parts
    # Another process of the same folder takes up what is there, by size and time of change.
    assert upward(address, run_folder, writer="two").round() == 0


def test_a_line_that_is_being_written_is_left_for_the_next_round(address: str, run_folder: Path) -> None:
    metrics = run_folder / "metrics.jsonl"
    metrics.write_text('{"step": 1}\n{"st')
    mirror = upward(address, run_folder)
    mirror.round()
    assert newest_of(address).files["metrics.jsonl"].num_bytes == 12
    metrics.write_text('{"step": 1}\n{"step": 2}\n')
    mirror.round()
    assert newest_of(address).files["metrics.jsonl"].num_bytes == 24
    with metrics.open("a") as file:
        file.write("torn")
    mirror.round(is_last=True)
    assert newest_of(address).files["metrics.jsonl"].num_bytes == 28


def test_lines_that_were_taken_back_are_not_in_the_copy(address: str, run_folder: Path, tmp_path: Path) -> None:
    mirror = upward(address, run_folder)
    for number in (1, 2, 3):
        step(run_folder, number)
        mirror.round()
    back_to(run_folder, 2)
    append_row(run_folder / "metrics.jsonl", {"step": 3, "reward/mean": 0.9})
    mirror.round()
    copy_down(Store(address), newest_of(address), tmp_path / "other")
    assert contents(tmp_path / "other") == contents(run_folder)


def test_small_parts_of_a_growing_file_become_one(address: str, run_folder: Path, tmp_path: Path) -> None:
    mirror = upward(address, run_folder, part_bytes=500)
    most = 0
    for number in range(MAX_SMALL + 10):
        append_row(run_folder / "metrics.jsonl", {"step": number})
        mirror.round()
        parts = newest_of(address).files["metrics.jsonl"].parts
        most = max(most, sum(part.num_bytes < 500 for part in parts))
    assert most <= MAX_SMALL + 1
    copy_down(Store(address), newest_of(address), tmp_path / "other")
    assert contents(tmp_path / "other") == contents(run_folder)


def test_objects_that_no_manifest_names_any_more_are_removed(address: str, run_folder: Path) -> None:
    mirror = upward(address, run_folder)
    for number in range(1, 6):
        step(run_folder, number)
        mirror.round()
    store = Store(address)
    assert len(store.keys(MANIFESTS)) == 2
    named = set[str]()
    for key in store.keys(MANIFESTS):
        found = store.get(key)
        assert found is not None
        named |= Manifest.from_json(found[0]).objects
    assert set(store.keys(FILES)) == named
    assert {path.split("/")[1] for path in newest_of(address).files if path.startswith("checkpoints")} == {"4", "5"}


class Vanishing(Store):
    """Removes or replaces a checkpoint while its first object is on its way."""

    def __init__(self, address: str, act: object) -> None:
        super().__init__(address)
        self._act = act

    def put(self, key: str, content: bytes) -> None:
        super().put(key, content)
        if "checkpoints" in key and self._act is not None:
            act, self._act = self._act, None
            act()  # type: ignore[operator]


@pytest.mark.parametrize("is_replaced", [False, True])
def test_a_checkpoint_that_goes_while_it_is_copied_is_whole_or_in_no_manifest(
    address: str, run_folder: Path, tmp_path: Path, is_replaced: bool
) -> None:
    checkpoint(run_folder, 1)
    checkpoint(run_folder, 2)

    def act() -> None:
        if is_replaced:
            checkpoint(run_folder, 1, salt=9)
            checkpoint(run_folder, 2, salt=9)
        else:
            shutil.rmtree(run_folder / "checkpoints" / "1")

    store = Vanishing(address, act)
    lease = Lease(store, "one")
    lease.acquire()
    mirror = Upward(store, lease, run_folder, writer="one", last=None, part_bytes=SMALL)
    mirror.round()
    expected: set[str] = set() if is_replaced else {"2"}
    assert {path.split("/")[1] for path in newest_of(address).files} == expected
    mirror.round()
    copy_down(store, newest_of(address), tmp_path / "other")
    assert contents(tmp_path / "other") == contents(run_folder)


class Overtaken(Store):
    """Slower than its run: with each object of a checkpoint there is a new checkpoint, and the oldest goes."""

    def __init__(self, address: str, folder: Path) -> None:
        super().__init__(address)
        self._folder, self.number, self._order = folder, 1, threading.Lock()

    def put(self, key: str, content: bytes) -> None:
        super().put(key, content)
        if "checkpoints" in key:
            with self._order:
                self.number += 1
                step(self._folder, self.number, keep=1)


def test_a_store_that_is_slower_than_the_run_gets_whole_checkpoints(
    address: str, run_folder: Path, tmp_path: Path
) -> None:
    store = Overtaken(address, run_folder)
    step(run_folder, 1)
    lease = Lease(store, "one")
    lease.acquire()
    mirror = Upward(store, lease, run_folder, writer="one", last=None, part_bytes=SMALL)
    for _ in range(3):
        mirror.round()
        copy_down(Store(address), newest_of(address), tmp_path / "copy")
        found = contents(tmp_path / "copy")
        (number,) = {int(path.split("/")[1]) for path in found if path.startswith("checkpoints")}
        checkpoint(tmp_path / "expected", number)
        for path, content in contents(tmp_path / "expected").items():
            assert f"/{number}/" not in path or found[path] == content
        assert number < store.number == len(found["metrics.jsonl"].splitlines())


def test_names_that_are_no_unicode_and_files_that_cannot_be_read_hold_up_nothing(
    address: str, run_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (run_folder / os.fsdecode(b"caf\xe9\xff")).write_text("odd")
    (run_folder / "..." / "..x").mkdir(parents=True)
    (run_folder / "..." / "..x" / "%2e%2e").write_text("dots")
    readable = set(contents(run_folder))
    (run_folder / "secret").write_text("of another user")
    real = Path.open

    def opened(path: Path, *args: Any, **options: Any) -> Any:
        if path.name == "secret":
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return real(path, *args, **options)

    said = list[str]()
    with monkeypatch.context() as patched, listening(said.append):
        patched.setattr(Path, "open", opened)
        mirror = upward(address, run_folder)
        mirror.round()
        mirror.round()
    assert [line for line in said if "secret: cannot be read" in line] == [
        f"{run_folder}/secret: cannot be read, and is not copied: Permission denied"
    ]
    copy_down(Store(address), newest_of(address), tmp_path / "other")
    assert set(contents(tmp_path / "other")) == readable


def test_a_lease_that_somebody_removed_is_made_again_where_nobody_works(address: str) -> None:
    store = Store(address)
    lease = Lease(store, "one")
    lease.acquire()
    store.remove([KEY])
    lease.beat()
    assert store.get(KEY) is not None
    store.remove([KEY])
    other = Lease(store, "two")
    other.acquire()
    with pytest.raises(LeaseLost):
        lease.beat()


def test_a_writer_that_was_replaced_can_write_no_manifest(address: str, run_folder: Path, tmp_path: Path) -> None:
    step(run_folder, 1)
    old = upward(address, run_folder, writer="old")
    old.round()
    other = tmp_path / "other"
    new = upward(address, other, writer="new")  # the old one beats no more
    copy_down(Store(address), newest_of(address), other)
    step(run_folder, 2)
    with pytest.raises(LeaseLost):
        old.round()
    step(other, 3)
    new.round()
    copy_down(Store(address), newest_of(address), tmp_path / "third")
    assert contents(tmp_path / "third") == contents(other)


def test_a_copy_in_another_place_names_that_place(address: str, tmp_path: Path) -> None:
    first, second, third = (tmp_path / "läufe" / "mine", tmp_path / "läufe" / "mine" / "für", tmp_path / "plain")
    text = json.dumps({"artifact": {"path": f"{first}/hf/3", "beside": f"{first}2/hf", "itself": str(first)}})
    write_text(first / "stages" / "rl" / "manifest.json", text)
    write_text(first / "config.yaml", f"model: {first}/artifacts/base\n")
    upward(address, first).round()
    for other in (second, third):
        copy_down(Store(address), newest_of(address), other)
        found = json.loads((other / "stages" / "rl" / "manifest.json").read_text())
        assert found == {"artifact": {"path": f"{other}/hf/3", "beside": f"{first}2/hf", "itself": str(other)}}
        assert (other / "config.yaml").read_text() == f"model: {other}/artifacts/base\n"


@pytest.mark.parametrize(
    ("damage", "says"),
    [(None, "is missing"), (b"short", "has 5 bytes"), (b"x" * 2000, "has the SHA-256")],
)
def test_a_damaged_object_is_named(
    address: str, run_folder: Path, tmp_path: Path, damage: bytes | None, says: str
) -> None:
    step(run_folder, 1)
    upward(address, run_folder).round()
    store, manifest = Store(address), newest_of(address)
    (part,) = manifest.files["rollouts/step=000001.parquet"].parts
    store.remove([part.key]) if damage is None else store.put(part.key, damage)
    with pytest.raises(
        UserError, match=rf"{part.key} {says}.* needs 2000 bytes .*Remove manifests/00000002.json there"
    ):
        copy_down(store, manifest, tmp_path / "other")


def test_what_belongs_to_one_process_stays(run_folder: Path) -> None:
    for name in (".lock", "logs/driver-0.json", "data/data.train.arrow", "stages/sft/data/x.arrow"):
        (run_folder / name).parent.mkdir(parents=True, exist_ok=True)
        (run_folder / name).touch()
    (run_folder / ".writing-x").mkdir()
    (run_folder / ".writing-x" / "y").touch()
    (run_folder / "link").symlink_to("/etc")
    for name in ("logs/driver-0.log", "stages/sft/metrics.jsonl", "stages/sft/checkpoints/3/a", "trackers/data/x"):
        (run_folder / name).parent.mkdir(parents=True, exist_ok=True)
        (run_folder / name).touch()
    found = scan(run_folder)
    assert set(found) == {
        "logs/driver-0.log",
        "stages/sft/metrics.jsonl",
        "stages/sft/checkpoints/3/a",
        "trackers/data/x",
    }
    assert [each.unit for each in found.values() if each.unit] == ["stages/sft/checkpoints/3"]
