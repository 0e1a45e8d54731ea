"""A folder, the store, and another folder: on a real server of S3."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from r1ray.errors import UserError
from r1ray.mirror.downward import copy_down
from r1ray.mirror.lease import Lease, LeaseLost
from r1ray.mirror.manifest import FILES, MANIFESTS, Manifest, newest
from r1ray.mirror.scan import scan
from r1ray.mirror.store import Store
from r1ray.mirror.upward import MAX_SMALL, Upward
from r1ray.telemetry.metrics import append_row
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
    for number in range(2 * MAX_SMALL + 10):
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
def test_a_checkpoint_that_goes_while_it_is_copied_is_in_no_manifest(
    address: str, run_folder: Path, tmp_path: Path, is_replaced: bool
) -> None:
    checkpoint(run_folder, 1)
    checkpoint(run_folder, 2)

    def act() -> None:
        if is_replaced:
            checkpoint(run_folder, 1, salt=9)
            checkpoint(run_folder, 2, salt=9)
        else:
            (run_folder / "checkpoints" / "1").rename(run_folder / "checkpoints" / ".removing-1")

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


def test_a_copy_in_another_place_names_that_place(address: str, run_folder: Path, tmp_path: Path) -> None:
    text = json.dumps({"artifact": {"path": f"{run_folder}/hf/3"}})
    (run_folder / "stages" / "rl").mkdir(parents=True)
    (run_folder / "stages" / "rl" / "manifest.json").write_text(text)
    upward(address, run_folder).round()
    other = tmp_path / "other"
    copy_down(Store(address), newest_of(address), other)
    found = json.loads((other / "stages" / "rl" / "manifest.json").read_text())
    assert found == {"artifact": {"path": f"{other}/hf/3"}}


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
    with pytest.raises(UserError, match=rf"{part.key} {says}.* needs 2000 bytes .*Remove manifests/00000002.json"):
        copy_down(store, manifest, tmp_path / "other")


def test_what_belongs_to_one_process_stays(run_folder: Path) -> None:
    for name in (".lock", "status.json", "logs/driver-0.json", "data/data.train.arrow", "stages/sft/data/x.arrow"):
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
