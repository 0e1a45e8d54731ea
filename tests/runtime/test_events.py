from __future__ import annotations

import json
import threading
from pathlib import Path

import pytest

from r1ray.runtime import events
from r1ray.runtime.events import GAP_S, MAX_KEPT, PIECE_S, Event, EventFile, Events


class Clock:
    """Time that the test moves."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def test_calls_of_one_kind_that_overlap_are_one_event(clock: Clock) -> None:
    made = Events(clock)
    made.begin("score", "first")
    clock.now += 1
    made.begin("score", "second")
    made.end("score")
    clock.now += 1
    assert made.take() == [], "one is under way"
    made.end("score")
    clock.now += 1
    assert made.take() == [Event("score", 100.0, 102.0, "first")]
    assert made.take() == []


def test_what_goes_on_soon_is_one_event_and_what_comes_later_is_another(clock: Clock) -> None:
    made = Events(clock)
    for pause in (GAP_S / 2, 2 * GAP_S):
        made.begin("generate")
        clock.now += 1
        made.end("generate")
        clock.now += pause
    made.begin("generate")
    assert made.take() == [Event("generate", 100.0, 102.0 + GAP_S / 2)]


def test_kinds_do_not_touch_each_other(clock: Clock) -> None:
    made = Events(clock)
    made.begin("generate")
    made.begin("pause")
    clock.now += 1
    made.end("pause")
    made.end("generate")
    assert {each.kind for each in made.take(is_last=True)} == {"generate", "pause"}


def test_what_lasts_is_told_in_pieces_that_join(clock: Clock) -> None:
    made = Events(clock)
    made.begin("learn", "long")
    clock.now += PIECE_S + 1
    first = made.take()
    clock.now += 1
    (second,) = made.take(is_last=True)
    assert first == [Event("learn", 100.0, 101.0 + PIECE_S, "long")]
    assert (second.start, second.end) == (first[0].end, clock.now)


def test_an_end_without_a_beginning_is_no_event(clock: Clock) -> None:
    made = Events(clock)
    made.end("save")
    assert made.take(is_last=True) == []


def test_too_many_events_at_once_are_dropped_and_counted(clock: Clock) -> None:
    made = Events(clock)
    for _ in range(MAX_KEPT + 7):
        made.note("fault")
    assert (len(made.take()), made.num_dropped) == (MAX_KEPT, 7)


def test_threads_lose_nothing() -> None:
    made = Events()

    def work() -> None:
        for _ in range(200):
            made.begin("score")
            made.end("score")

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [each.kind for each in made.take(is_last=True)] == ["score"]


def lines(path: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_processes_append_to_one_file(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    for actor in ("driver 0", "learner rank 0"):
        EventFile(path, actor=actor).write([Event("learn", 1.0, 2.5)])
    assert lines(path)[1] == {"actor": "learner rank 0", "kind": "learn", "start": 1.0, "end": 2.5, "detail": ""}
    assert [line["actor"] for line in lines(path)] == ["driver 0", "learner rank 0"]


def test_nothing_to_tell_makes_no_file(tmp_path: Path) -> None:
    EventFile(tmp_path / "events.jsonl", actor="driver 0").write([])
    assert not list(tmp_path.iterdir())


def test_a_file_that_is_full_takes_a_few_counts_and_no_events(tmp_path: Path) -> None:
    file = EventFile(tmp_path / "events.jsonl", actor="driver 0", max_bytes=150)
    for _ in range(100):
        file.write([Event("learn", 1.0, 2.0)])
    told = lines(tmp_path / "events.jsonl")
    counts = [line["detail"] for line in told if line["kind"] == "dropped"]
    kept = sum(line["kind"] == "learn" for line in told)
    assert kept == 2 and counts == ["1", "2", "4", "8", "16", "32", "64"]


def test_what_the_process_dropped_is_told_too(tmp_path: Path) -> None:
    file = EventFile(tmp_path / "events.jsonl", actor="driver 0")
    for _ in range(2):
        file.write([Event("learn", 1.0, 2.0)], num_dropped=5)
    assert [line["kind"] for line in lines(tmp_path / "events.jsonl")] == ["learn", "dropped", "learn"]


def test_a_folder_that_is_gone_costs_the_events_and_no_run(tmp_path: Path) -> None:
    EventFile(tmp_path / "gone" / "events.jsonl", actor="driver 0").write([Event("learn", 1.0, 2.0)])


def test_a_block_is_an_event_of_this_process_also_where_it_fails() -> None:
    events.take(is_last=True)
    with pytest.raises(ValueError, match="planted"), events.doing("export", "v3"):
        raise ValueError("planted")
    (event,) = (each for each in events.take(is_last=True) if each.kind == "export")
    assert (event.kind, event.detail) == ("export", "v3") and event.start <= event.end
