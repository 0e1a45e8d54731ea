"""Tables of runs: their stages with what each read and made, their ledgers, and what was lost on the way."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from r1ray.page.curves import number_of, rounded
from r1ray.page.folders import LINEAGE, MANIFEST, STATUS, object_in, stages_of

FAULTS = ("faults/", "reward_errors/")
COUNTS_OF_FAULTS = ("learner/restarts", "ledger/reissued", "publish/resent", "eval/abandoned", "scoring/unscored")
SHOWN_METRICS = 6


def stage_rows(run: Path) -> list[dict[str, Any]]:
    """Return a row for each stage of a run that is finished, or was begun: what it read, what it made, how long it
    took."""
    manifests = {name: value for name, value in object_in(run / LINEAGE).items() if isinstance(value, dict)}
    for folder in stages_of(run):
        manifests[folder.name] = object_in(folder / MANIFEST) or manifests.get(folder.name, {})
    if own := object_in(run / MANIFEST):
        manifests[run.name] = own
    ordered = sorted(manifests.items(), key=lambda item: number_of(item[1].get("started")) or float("inf"))
    return [_stage_row(name, manifest) for name, manifest in ordered]


def ledger_of(rows: Sequence[Mapping[str, Any]]) -> dict[str, int]:
    """Return the last count of each account of the ledger: issued, trained, dropped, dropped/<reason>, in_flight."""
    found: dict[str, int] = {}
    for row in rows:
        for name, value in row.items():
            if name.startswith("ledger/") and (count := number_of(value)) is not None:
                found[name.removeprefix("ledger/")] = int(count)
    return found


def fault_rows(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return a row for each step in which something was lost or failed: its count rose."""
    before: dict[str, float] = {}
    found = []
    for row in rows:
        for name, value in row.items():
            count = number_of(value)
            if count is None or not (name in COUNTS_OF_FAULTS or name.startswith(FAULTS)):
                continue
            if count > (before.get(name, 0) if _adds_up(name) else 0):
                found.append({"step": row["step"], "what": name, "count": rounded(count)})
            before[name] = count
    return found


def end_of(run: Path) -> str:
    """Return the driver's word on the run's end; empty where it goes on, or nobody knows."""
    ended = object_in(run / STATUS).get("ended", "")
    return ended if isinstance(ended, str) else ""


def _adds_up(name: str) -> bool:
    """Return whether a count is since the process began, not of the step alone."""
    return name.startswith("faults/") or name in ("learner/restarts", "ledger/reissued")


def _stage_row(name: str, manifest: Mapping[str, Any]) -> dict[str, Any]:
    settings, artifact = _mapping(manifest, "settings"), _mapping(manifest, "artifact")
    metrics = {key: rounded(number_of(value)) for key, value in _mapping(artifact, "metrics").items()}
    shown = {key: value for key, value in metrics.items() if not key.endswith(("_low", "_high"))}
    model = settings.get("model")
    return {
        "name": name,
        "recipe": settings.get("recipe") or "",
        "reads": [*_mapping(manifest, "inputs"), *([model] if isinstance(model, str) and model[:1] != "@" else [])],
        "made": artifact.get("path") or "",
        "metrics": dict(list(shown.items())[:SHOWN_METRICS]),
        "seconds": rounded(number_of(manifest.get("seconds"))),
        "state": "given" if manifest.get("given") else "finished" if artifact else "begun",
        "code": manifest.get("code_version") or "",
    }


def _mapping(value: Mapping[str, Any], key: str) -> dict[str, Any]:
    found = value.get(key)
    return found if isinstance(found, dict) else {}
