from __future__ import annotations

from pathlib import Path

from r1ray.runtime.events import Event, EventFile
from r1ray.telemetry.timeline import EVENT, read_events


def test_events_of_all_nodes_are_read_in_the_order_of_their_starts(tmp_path: Path) -> None:
    EventFile(tmp_path / "events.jsonl", actor="driver 0").write([Event("learn", 3.0, 4.0), Event("wait", 1.0, 3.0)])
    EventFile(tmp_path / "events.far.jsonl", actor="rollout worker 1").write([Event("generate", 2.0, 5.0)])
    found = read_events(tmp_path)
    assert found.schema == EVENT
    assert found.column("start").to_pylist() == [1.0, 2.0, 3.0]
    assert found.column("actor").to_pylist() == ["driver 0", "rollout worker 1", "driver 0"]


def test_pieces_of_what_lasted_are_one_event(tmp_path: Path) -> None:
    pieces = [Event("learn", 1.0, 61.0), Event("learn", 61.0, 121.0), Event("learn", 121.5, 122.0)]
    for actor in ("learner rank 0", "learner rank 1"):
        EventFile(tmp_path / "events.jsonl", actor=actor).write(pieces)
    found = read_events(tmp_path).to_pylist()
    spans = [(row["start"], row["end"]) for row in found if row["actor"] == "learner rank 1"]
    assert spans == [(1.0, 121.0), (121.5, 122.0)]


def test_torn_lines_and_runs_without_events_are_no_fault(tmp_path: Path) -> None:
    assert read_events(tmp_path).num_rows == 0
    file = EventFile(tmp_path / "events.jsonl", actor="driver 0")
    file.write([Event("learn", 1.0, 2.0)])
    with (tmp_path / "events.jsonl").open("a") as text:
        text.write('{"actor": "dri\n[1]\n')
    assert read_events(tmp_path).num_rows == 1
