"""Weights & Biases without a server: what its offline folders have."""

from __future__ import annotations

import importlib
import json
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from r1ray.config import TrackingConfig
from r1ray.telemetry.trackers.follower import Follower
from r1ray.telemetry.trackers.sent import Sent
from r1ray.telemetry.trackers.tracker import Place
from tests.telemetry.trackers.planted import HOSTILE, plant, plant_answers

pytest.importorskip("wandb", reason="the extra wandb is not installed")
pytestmark = pytest.mark.long
BLOCK, HEADER, PIECE, WHOLE, LAST = 32768, 7, 7, 1, 4
SECRET = "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture(autouse=True)
def offline(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_API_KEY", SECRET)


def follow(run: Path) -> None:
    """Feed what is new, as a helper process that has just started."""
    tracker = importlib.import_module("r1ray.telemetry.trackers.to_wandb").ToWandb
    place = Place(run, TrackingConfig(project="tests", samples=2))
    following = Follower(tracker(place), Sent(run, "wandb"), place)
    while following.look():
        pass
    following.end()


def records(run: Path) -> list[Any]:
    """Return the records of all offline folders, in their order."""
    proto = importlib.import_module("wandb.proto.wandb_internal_pb2")
    found = []
    for path in sorted(run.glob("trackers/wandb/offline-run-*/*.wandb"), key=lambda path: path.stat().st_mtime_ns):
        for data in stored(path.read_bytes()):
            record = proto.Record()
            record.ParseFromString(data)
            found.append(record)
    return found


def stored(content: bytes) -> Iterator[bytes]:
    """Yield what a LevelDB log has, after W&B's own header: blocks of pieces with checksum, length and kind (whole,
    first, middle or last of a record)."""
    at, record = HEADER, b""
    while at + PIECE <= len(content):
        if BLOCK - at % BLOCK < PIECE:
            at += BLOCK - at % BLOCK
            continue
        _, length, kind = struct.unpack_from("<IHB", content, at)
        record += content[at + PIECE : at + PIECE + length]
        at += PIECE + length
        if kind in (WHOLE, LAST):
            yield record
            record = b""


def history(found: list[Any]) -> list[dict[str, Any]]:
    return [
        {"/".join(item.nested_key) or item.key: json.loads(item.value_json) for item in record.history.item}
        for record in found
        if record.WhichOneof("record_type") == "history"
    ]


def runs(found: list[Any]) -> list[Any]:
    return [record.run for record in found if record.WhichOneof("record_type") == "run"]


def test_metrics_answers_and_models_are_in_one_run_that_is_gone_on_with(tmp_path: Path) -> None:
    run = tmp_path / "mine"
    plant(run, [0, 1], metrics={"eval/held/pass@1": 0.5})
    (run / "config.yaml").write_text("steps: 3\nalgo: {group_size: 8}\n")
    plant_answers(run, 0)
    follow(run)
    plant(run, [2])
    (run / "hf" / "2").mkdir(parents=True)
    follow(run)
    found = records(run)
    assert {(each.run_id, each.run_group, each.display_name, each.project) for each in runs(found)} == {
        (runs(found)[0].run_id, "mine", "mine/rl", "tests")
    }
    logged = history(found)
    assert [row["step"] for row in logged if "reward/mean" in row] == [0, 1, 2]
    assert logged[0]["eval/held/pass@1"] == 0.5 and "policy_version" in logged[0]
    assert [row["step"] for row in logged if any(name.startswith("samples") for name in row)] == [0]
    [table] = run.glob("trackers/wandb/offline-run-*/files/media/table/*.json")
    assert json.loads(table.read_text())["data"][0][1] == f"{HOSTILE} 0.0"
    config = {item.key: item.value_json for each in runs(found) for item in each.config.update}
    assert json.loads(config["algo"]) == {"group_size": 8}
    assert any(str(run / "hf" / "2") in str(record) for record in found)


def test_the_stages_of_a_recipe_are_one_group(tmp_path: Path) -> None:
    run = tmp_path / "r1"
    plant(run / "stages" / "warm_up", [0], stage="sft")
    plant(run / "stages" / "reasoning", [0])
    (run / "stages" / "reasoning" / "config.yaml").write_text(f"model: {run}/stages/warm_up/hf/0\n")
    follow(run)
    found = runs(records(run))
    ids = {each.display_name: each.run_id for each in found}
    assert set(ids) == {"r1/warm_up", "r1/reasoning"} and len(set(ids.values())) == 2
    assert {each.run_group for each in found} == {"r1"}
    config = {
        item.key: item.value_json
        for each in found
        if each.display_name == "r1/reasoning"
        for item in each.config.update
    }
    assert json.loads(config["r1ray_inputs"]) == {"warm_up": ids["r1/warm_up"]}


def test_no_credentials_are_written(tmp_path: Path) -> None:
    plant(tmp_path / "mine", [0])
    follow(tmp_path / "mine")
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert len(files) > 3
    assert [path for path in files if SECRET.encode() in path.read_bytes()] == []
