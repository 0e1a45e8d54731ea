"""The report of runs: what their folders hold, as one page.

run folders --read_runs--> Runs --write_report--> report.html, with a sample of the rollouts
                                --server.py-----> the same page, with all of them
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from r1ray import __version__
from r1ray.errors import UserError
from r1ray.page.catalog import charts_of, guide_of
from r1ray.page.configurations import differences
from r1ray.page.curves import curves_of
from r1ray.page.document import page
from r1ray.page.folders import METRICS, ROLLOUTS, Part, RolloutFile, names_of, parts_of, rollout_files
from r1ray.page.index import read_index
from r1ray.page.marks import suspicions
from r1ray.page.packing import packed
from r1ray.page.sample import choose, pack
from r1ray.page.stage_rows import end_of, fault_rows, ledger_of, stage_rows
from r1ray.page.timeline import timeline_of
from r1ray.runtime.files import write_text
from r1ray.telemetry.diagnosis.diagnose import diagnose_rows
from r1ray.telemetry.metrics import read_rows
from r1ray.telemetry.rollouts import reflection_rows

MAX_BYTES = 5_000_000
"""Limit of the file: mail and chat take it."""


@dataclass(frozen=True, slots=True)
class Runs:
    """The runs of a report, with the light columns of their rollouts."""

    folders: Sequence[Path]
    parts: Sequence[Part]
    files: Sequence[RolloutFile]
    index: pa.Table
    suspicions: np.ndarray


def read_runs(folders: Sequence[Path]) -> Runs:
    """Return the runs in folders. Raises UserError for a metrics.jsonl that is broken in its middle."""
    parts = parts_of(folders)
    files = rollout_files(parts)
    index = read_index(files)
    return Runs(folders, parts, files, index, suspicions(index))


def write_report(runs: Runs, path: Path) -> int:
    """Write the report of runs as one file; return the number of trajectories in it. Raises UserError where the file
    cannot be written."""
    places = choose(runs.index, runs.suspicions)
    data = data_of(runs, num_sampled=0)
    empty = _static_page(runs, data, groups="")
    groups, num_sampled = pack(places, runs.files, runs.suspicions, max_bytes=MAX_BYTES - len(empty))
    text = _static_page(runs, data | {"num_sampled": num_sampled}, groups=groups)
    try:
        write_text(path, text)
    except OSError as error:
        raise UserError(f"{path}: cannot be written: {error.strerror or error}.") from error
    return num_sampled


def title_of(runs: Runs) -> str:
    """Return the title of the page."""
    return f"r1ray: {', '.join(names_of(runs.folders))}"


def data_of(runs: Runs, *, num_sampled: int | None) -> dict[str, Any]:
    """Return everything that the page shows but rollouts.

    Args:
        num_sampled: trajectories in the file; None where a server has all.
    """
    rows = [metric_rows(part.folder) for part in runs.parts]
    curves = [curves_of(each) for each in rows]
    return {
        "made": time.time(),
        "version": __version__,
        "runs": [
            {"name": name, "folder": str(folder), "end": end_of(folder), "stages": stage_rows(folder)}
            for name, folder in zip(names_of(runs.folders), runs.folders, strict=True)
        ],
        "parts": [
            {
                "run": part.run,
                "name": part.name,
                "findings": [asdict(finding) for finding in diagnose_rows(part.folder, lines)],
                "ledger": ledger_of(lines),
                "faults": fault_rows(lines),
                **curve,
            }
            for part, lines, curve in zip(runs.parts, rows, curves, strict=True)
        ],
        "charts": charts_of(name for curve in curves for name in curve["lines"]),
        "guide": guide_of(name for curve in curves for name in curve["lines"]),
        "timelines": [
            timeline_of(folder, [lines for part, lines in zip(runs.parts, rows, strict=True) if part.run == run])
            for run, folder in enumerate(runs.folders)
        ],
        "differences": differences(runs.folders),
        "num_rollouts": len(runs.index),
        "num_sampled": num_sampled,
    }


def metric_rows(folder: Path) -> list[dict[str, Any]]:
    """Return the lines of a part's metrics, those of training with how often the step's trajectories re-evaluate."""
    said = {row["step"]: row for row in reflection_rows(folder / ROLLOUTS)}
    rows = read_rows(folder / METRICS)
    for row in rows:
        if "time/step_s" in row and row["step"] in said:
            row |= {f"reflection/{name}": said[row["step"]].get(name) for name in ("share", "per_1k_tokens")}
    return rows


def _static_page(runs: Runs, data: Mapping[str, Any], *, groups: str) -> str:
    return page(title_of(runs), data=packed(data), groups=groups, is_served=False)
