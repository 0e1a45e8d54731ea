"""Event files as TensorBoard itself reads them."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

import pytest

from r1ray.config import TrackingConfig
from r1ray.telemetry.metrics import rewind_rows
from r1ray.telemetry.trackers.follower import Follower
from r1ray.telemetry.trackers.sent import Sent
from r1ray.telemetry.trackers.tracker import Place
from tests.telemetry.trackers.planted import HOSTILE, plant, plant_answers

pytest.importorskip("tensorboard", reason="the extra tensorboard is not installed")


def follow(run: Path) -> Follower:
    """Feed TensorBoard with what a run has, as a helper process that has just started."""
    tracker = importlib.import_module("r1ray.telemetry.trackers.to_tensorboard").ToTensorBoard()
    following = Follower(tracker, Sent(run, "tensorboard"), Place(run, TrackingConfig(samples=2)))
    while following.look():
        pass
    return following


def read(folder: Path) -> Any:
    accumulator = importlib.import_module("tensorboard.backend.event_processing.event_accumulator")
    events = accumulator.EventAccumulator(str(folder / "tensorboard"), size_guidance={"scalars": 0, "tensors": 0})
    return events.Reload()


def steps(events: Any, tag: str) -> list[int]:
    return [event.step for event in events.Scalars(tag)]


def test_every_metric_is_there_under_its_name_with_its_step_and_time(tmp_path: Path) -> None:
    plant(tmp_path, range(3), metrics={"eval/held/pass@1": 0.5})
    follow(tmp_path).end()
    events = read(tmp_path)
    assert events.Tags()["scalars"] == ["policy_version", "reward/mean", "eval/held/pass@1"]
    assert steps(events, "reward/mean") == [0, 1, 2]
    assert [round(event.value, 5) for event in events.Scalars("reward/mean")] == [0.0, 0.1, 0.2]


def test_answers_and_the_configuration_are_texts_that_nothing_of_is_markup(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text("steps: 3\n")
    plant(tmp_path, [0])
    plant_answers(tmp_path, 0)
    (tmp_path / "hf" / "0").mkdir(parents=True)
    follow(tmp_path).end()
    events = read(tmp_path)
    text = {tag: events.Tensors(tag)[-1].tensor_proto.string_val[0].decode() for tag in events.Tags()["tensors"]}
    assert text["config/text_summary"] == "    steps: 3\n"
    assert HOSTILE in text["samples/0/text_summary"] and "samples/1/text_summary" in text
    assert all(line.startswith("    ") for line in text["samples/0/text_summary"].splitlines())
    assert text["model/text_summary"].endswith("hf/0")


def test_undone_steps_are_gone_and_those_in_their_place_are_there_once(tmp_path: Path) -> None:
    plant(tmp_path, range(6), metrics={"old": 1.0})
    following = follow(tmp_path)
    rewind_rows(tmp_path / "metrics.jsonl", 2)
    plant(tmp_path, [3, 4])
    while following.look():
        pass
    following.end()
    events = read(tmp_path)
    assert steps(events, "reward/mean") == [0, 1, 2, 3, 4]
    assert steps(events, "old") == [0, 1, 2]


def test_a_run_that_is_resumed_goes_on_in_the_same_curve(tmp_path: Path) -> None:
    plant(tmp_path, range(3))
    follow(tmp_path)  # killed: nobody ends it
    plant(tmp_path, [3, 4])
    follow(tmp_path).end()
    assert steps(read(tmp_path), "reward/mean") == [0, 1, 2, 3, 4]
