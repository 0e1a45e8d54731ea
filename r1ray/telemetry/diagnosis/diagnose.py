"""The diagnosis of a run: every rule, put to the metrics and the last rollouts of a run.

metrics.jsonl, rollouts, settings --Evidence--> each of RULES --> findings: sentence, keys to turn, example
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from r1ray.errors import UserError
from r1ray.telemetry.diagnosis.evidence import Evidence
from r1ray.telemetry.diagnosis.finding import Finding
from r1ray.telemetry.diagnosis.groups import uniform_groups
from r1ray.telemetry.diagnosis.outputs import long_removed, truncated, unread_answers
from r1ray.telemetry.diagnosis.policy import entropy_collapse, kl_explosion, mismatch_growth
from r1ray.telemetry.diagnosis.rewards import constant_part, evaluation_apart, unpaid_part
from r1ray.telemetry.metrics import read_rows
from r1ray.telemetry.settings import CONFIG, settings_in

RULES: tuple[Callable[[Evidence], Finding | None], ...] = (
    *(uniform_groups, truncated, unread_answers, unpaid_part, constant_part),
    *(kl_explosion, mismatch_growth, entropy_collapse, evaluation_apart, long_removed),
)
"""All rules; a run that nothing can be learned from comes first."""
OF_REWARDS = (uniform_groups, unpaid_part, constant_part, entropy_collapse)
"""Rules of what is learned from rewards, which a run with a teacher in their place does not break."""


def diagnose(
    rows: Sequence[Mapping[str, Any]],
    *,
    settings: Mapping[str, Any] | None = None,
    rollouts: Path | None = None,
    but: Collection[str] = (),
) -> list[Finding]:
    """Return what is wrong with a run, the gravest first; empty where nothing is known to be.

    Args:
        rows: lines of metrics.jsonl.
        settings: the run's resolved configuration, for the values that it has now; None where it is not known.
        rollouts: the folder of the rollout log, for examples; None: there are none.
        but: rules that are left out.
    """
    run = Evidence(rows, settings=settings, rollouts=rollouts)
    rules = [rule for rule in RULES if rule.__name__ not in but and (run.learns_from_rewards or rule not in OF_REWARDS)]
    return [finding for rule in rules if (finding := rule(run)) is not None]


def diagnose_folder(folder: Path) -> list[Finding]:
    """Return what is wrong with the run whose metrics, settings and rollouts are in a folder, as far as these can be
    read."""
    try:
        rows = read_rows(folder / "metrics.jsonl")
    except (OSError, UserError):
        return []
    return diagnose_rows(folder, rows)


def diagnose_rows(folder: Path, rows: Sequence[Mapping[str, Any]]) -> list[Finding]:
    """Return what :func:`diagnose_folder` does, of lines that were read before."""
    return diagnose(rows, settings=_settings_in(folder), rollouts=folder / "rollouts")


def _settings_in(folder: Path) -> Mapping[str, Any] | None:
    """Return the run's settings; of a recipe's stage those of its manifest, which is written at its end. None where
    neither can be read."""
    if (folder / CONFIG).is_file():
        return settings_in(folder) or None
    try:
        value = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))["settings"]
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return None
    return value if isinstance(value, dict) else None
