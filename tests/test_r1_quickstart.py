"""The whole recipe on a small model does what the README says it does: ``make test-long``."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest

from tests.real.running import only_run, r1ray

pytestmark = pytest.mark.long


def test_every_stage_of_the_recipe_shows_its_effect(tmp_path: Path) -> None:
    start = time.monotonic()
    printed = r1ray("run", "experiment=r1_quickstart", f"output_dir={tmp_path}", cwd=tmp_path, timeout_s=3000)
    seconds = time.monotonic() - start
    print(printed[printed.rindex("┏") :])
    folder = only_run(tmp_path, "r1_quickstart-")
    lineage = json.loads((folder / "lineage.json").read_text())
    metrics = {name: entry["artifact"]["metrics"] for name, entry in lineage.items()}

    def rises(stage: str, against: str, *metrics: str) -> bool:
        return all(metrics[f"eval_{stage}"][f"effect/eval_{against}/{metric}_low"] > 0 for metric in metrics)

    assert rises("r1_zero", "base", "pass@1")
    assert rises("cold_start", "base", "format", "readable", "language")
    assert rises("reasoning_rl", "cold_start", "pass@1")
    assert rises("consistent_zero", "r1_zero", "language", "readable")
    assert rises("distilled", "student_rl", "pass@1")
    assert rises("general_rl", "general_sft", "polite")
    assert min(metrics[name]["accuracy"] for name in ("helpful", "harmless")) > 0.8
    rows = (folder / "stages" / "curated" / "dataset" / "card.json").read_text()
    assert json.loads(rows)["curation"]["removed"]["wrong"] > 0
    assert seconds < 2400
