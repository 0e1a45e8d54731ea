"""The timeline of a run: what each of its processes did, from when to when.

events.jsonl, events.<node>.jsonl  --read_events-->  Arrow table, in the order of their starts
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa

from r1ray.runtime.files import whole_objects

EVENT = pa.schema(
    [
        ("actor", pa.string()),
        ("kind", pa.string()),
        ("start", pa.float64()),
        ("end", pa.float64()),
        ("detail", pa.string()),
    ]
)


def read_events(run_dir: Path) -> pa.Table:
    """Return the events of a run that lives or has ended; of several stages, in the folder above them. Pieces of what
    lasted are one event. Of a torn line there is nothing."""
    found = (row for path in sorted(run_dir.glob("events*.jsonl")) for row in whole_objects(path))
    rows = [row for row in found if set(EVENT.names) <= row.keys()]
    last: dict[tuple[str, str], dict[str, Any]] = {}
    events: list[dict[str, Any]] = []
    for row in sorted(rows, key=lambda row: row["start"]):
        before = last.get((row["actor"], row["kind"]))
        if before is not None and before["end"] == row["start"] and before["detail"] == row["detail"]:
            before["end"] = row["end"]
            continue
        last[row["actor"], row["kind"]] = row
        events.append(row)
    return pa.Table.from_pylist(events, schema=EVENT)
