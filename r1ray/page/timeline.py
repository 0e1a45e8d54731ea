"""The timeline of a run: a lane for each actor, with spans of what it did.

    events.jsonl  --timeline_of-->  {"actors": [..], "kinds": [..], "spans": [[actor, kind, begin, end], ..], ..}

A run that is older than its events has a lane of its learner, from the seconds in metrics.jsonl. Of many spans those
that are shorter than a pixel are put together.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from r1ray.page.curves import number_of
from r1ray.telemetry.timeline import read_events

MAX_SPANS = 4_000
MAX_CELLS, MAX_CELLS_IN_ALL = 1_000, 20_000
"""Of a lane, and of all lanes, where there are more spans than can be told apart."""
IN_A_STEP = {
    "time/idle_learner_s": "wait",
    "time/eval_wait_s": "evaluate",
    "time/learn_s": "learn",
    "time/publish_s": "publish",
    "time/save_s": "save",
    "time/other_s": "other",
}
"""Metrics that make up a step, in about the order in which they come, and the kinds of work that they are."""
FROM_METRICS = "from the seconds of each step; their order within a step is not known"
FAULT, RESUME, DROPPED = "fault", "resume", "dropped"
MOMENTS = (FAULT, RESUME)
"""Kinds that last no time."""


@dataclass(frozen=True, slots=True)
class Span:
    """Work of an actor; Unix seconds."""

    actor: str
    kind: str
    start: float
    end: float
    detail: str = ""
    share: float = 1.0
    """Share of the time that was spent so."""

    def since(self, begin: float) -> tuple[float, float]:
        """Return the seconds from ``begin`` to its start and to its end."""
        return round(self.start - begin, 3), round(self.end - begin, 3)


def timeline_of(run: Path, metrics: Sequence[Sequence[dict[str, Any]]]) -> dict[str, Any]:
    """Return the timeline of a run.

    Args:
        metrics: the lines of metrics.jsonl of each of its parts.
    """
    spans = [Span(**event) for event in read_events(run).to_pylist()]
    num_dropped = sum(int(span.detail) for span in spans if span.kind == DROPPED and span.detail.isdigit())
    spans, note = [span for span in spans if span.kind != DROPPED], ""
    if not spans:
        spans, note = [span for rows in metrics for span in _of_steps(rows)], FROM_METRICS
    if not spans:
        return {"spans": []}
    begin, end = min(span.start for span in spans), max(span.end for span in spans)
    busy = _busy(spans, end - begin)
    if len(spans) > MAX_SPANS:
        num_actors = len({span.actor for span in spans})
        cell_s = (end - begin) / min(MAX_CELLS, max(1, MAX_CELLS_IN_ALL // num_actors))
        spans = _cells(spans, begin, cell_s)
        note = "; ".join(
            filter(None, [note, f"a mark shows what took most of {cell_s:.3g} s, fainter where it took less"])
        )
    actors = sorted({span.actor for span in spans}, key=_by_number)
    kinds = sorted({span.kind for span in spans})
    return {
        "actors": actors,
        "kinds": kinds,
        "seconds": round(end - begin, 3),
        "note": note,
        "dropped": num_dropped,
        "resumes": [
            [round(span.start - begin, 3), span.detail]
            for span in sorted(spans, key=lambda span: span.start)
            if span.kind == RESUME
        ],
        "busy": [
            [actors.index(actor), kind, round(seconds, 2), round(share, 4)] for actor, kind, seconds, share in busy
        ],
        "spans": [
            [
                actors.index(each.actor),
                kinds.index(each.kind),
                *each.since(begin),
                each.share,
                *filter(None, [each.detail]),
            ]
            for each in spans
        ],
    }


def _of_steps(rows: Sequence[dict[str, Any]]) -> Iterator[Span]:
    """Yield what the learner did in each step."""
    end = 0.0
    for row in rows:
        at = number_of(row.get("wall_time"))
        if at is None or "time/step_s" not in row:
            continue
        known = {kind: number_of(row.get(name)) or 0.0 for name, kind in IN_A_STEP.items()}
        end = max(end, at - sum(known.values()))
        for kind, seconds in known.items():
            if seconds > 0:
                yield Span("learner", kind, end, end + seconds, f"step {row['step']}")
            end += seconds


def _busy(spans: Sequence[Span], total_s: float) -> list[tuple[str, str, float, float]]:
    """Return the seconds of each kind of work of each actor, and its share of the run, the largest first."""
    seconds: dict[tuple[str, str], float] = defaultdict(float)
    for span in spans:
        seconds[span.actor, span.kind] += span.end - span.start
    found = [(*key, took, took / total_s if total_s else 0.0) for key, took in seconds.items() if key[1] not in MOMENTS]
    return sorted(found, key=lambda row: -row[2])


def _cells(spans: Sequence[Span], begin: float, cell_s: float) -> list[Span]:
    """Return spans of whole cells of time, of the kind that took most of each; moments stay as they are."""
    seconds: dict[str, dict[int, dict[str, float]]] = defaultdict(lambda: defaultdict(lambda: defaultdict(float)))
    for span in spans:
        first, last = int((span.start - begin) / cell_s), int((span.end - begin) / cell_s)
        for cell in range(first, last + 1) if span.kind not in MOMENTS else ():
            inside = min(span.end, begin + (cell + 1) * cell_s) - max(span.start, begin + cell * cell_s)
            seconds[span.actor][cell][span.kind] += max(0.0, inside)
    found: list[Span] = []
    for actor, cells in seconds.items():
        for cell, kinds in sorted(cells.items()):
            kind = max(kinds, key=lambda each: kinds[each])
            start = begin + cell * cell_s
            share = round(min(1.0, kinds[kind] / cell_s), 1)
            if found and _goes_on(found[-1], actor, kind, share, start - cell_s / 2):
                found[-1] = replace(found[-1], end=start + cell_s)
            else:
                found.append(Span(actor, kind, start, start + cell_s, share=share))
    return [*found, *(span for span in spans if span.kind in MOMENTS)]


def _goes_on(before: Span, actor: str, kind: str, share: float, since: float) -> bool:
    """Return whether a cell is like the one before it, which reached at least to ``since``."""
    return (before.actor, before.kind, before.share) == (actor, kind, share) and before.end >= since


def _by_number(actor: str) -> tuple[bool, str, int]:
    """Return what puts `engine 2` before `engine 10`, and the driver first."""
    role, _, number = actor.rpartition(" ")
    return (actor != "driver", role or actor, int(number)) if number.isdigit() else (actor != "driver", actor, -1)
