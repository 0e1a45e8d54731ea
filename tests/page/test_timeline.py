from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from r1ray.page.timeline import FROM_METRICS, MAX_CELLS, MAX_SPANS, timeline_of
from tests.page.planted import plant


def written(folder: Path, events: list[dict[str, Any]], *, name: str = "events.jsonl") -> Path:
    folder.mkdir(exist_ok=True)
    (folder / name).write_text("".join(json.dumps(event) + "\n" for event in events))
    return folder


def event(actor: str, kind: str, start: float, end: float, detail: str = "") -> dict[str, Any]:
    return {"actor": actor, "kind": kind, "start": start, "end": end, "detail": detail}


def test_spans_begin_with_the_first_event_and_the_driver_is_above(tmp_path: Path) -> None:
    events = [event("engine 10", "generate", 5, 6), event("engine 2", "generate", 5, 7), event("driver", "wait", 4, 6)]
    found = timeline_of(written(tmp_path, [*events, event("driver", "dropped", 4, 4, "12")]), [])
    assert found["actors"] == ["driver", "engine 2", "engine 10"]
    assert found["spans"] == [[0, 1, 0, 2, 1.0], [2, 0, 1, 2, 1.0], [1, 0, 1, 3, 1.0]]
    assert (found["seconds"], found["dropped"]) == (3, 12)
    assert found["busy"][0][2] == 2


def test_events_of_other_nodes_count_and_torn_lines_do_not(tmp_path: Path) -> None:
    written(tmp_path, [event("driver", "wait", 0, 1)], name="events.node-2.jsonl")
    (tmp_path / "events.jsonl").write_text('{"actor": "x"}\n[1]\n{"actor": "driver", "kind": "wa')
    assert timeline_of(tmp_path, [])["actors"] == ["driver"]


def test_many_spans_are_put_together_in_cells_and_faults_stay(tmp_path: Path) -> None:
    events = [event("engine 0", "generate" if at % 2 else "pause", at, at + 1) for at in range(2 * MAX_SPANS)]
    found = timeline_of(written(tmp_path, [*events, event("engine 0", "fault", 4, 4, "killed")]), [])
    assert len(found["spans"]) <= MAX_CELLS + 2
    assert found["spans"][-1][5] == "killed"
    assert {span[4] for span in found["spans"][:-2]} == {0.5}
    assert "took most" in found["note"]


def test_commands_that_went_on_are_moments_and_listed_in_their_order(tmp_path: Path) -> None:
    again = [
        event("driver", "resume", at, at, f"the command before: {why}") for at, why in ((9, "killed"), (4, "done"))
    ]
    found = timeline_of(written(tmp_path, [event("driver", "wait", 1, 20), *again]), [])
    assert found["resumes"] == [[3, "the command before: done"], [8, "the command before: killed"]]
    assert [span[2:4] for span in found["spans"] if len(span) > 5] == [[3, 3], [8, 8]]
    assert {kind for _, kind, *_ in found["busy"]} == {"wait"}


def test_a_run_without_events_has_its_steps(tmp_path: Path) -> None:
    run = plant(tmp_path / "one", num_steps=1)
    (run / "events.jsonl").unlink()
    row = {"step": 1, "wall_time": 110.0, "time/step_s": 9.0, "time/learn_s": 3.0, "time/idle_learner_s": 6.0}
    found = timeline_of(run, [[row]])
    assert found["note"] == FROM_METRICS
    assert found["spans"] == [[0, 1, 0, 6, 1.0, "step 1"], [0, 0, 6, 9, 1.0, "step 1"]]
    assert timeline_of(run, [[]]) == {"spans": []}
