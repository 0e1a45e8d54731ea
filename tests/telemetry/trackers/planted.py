"""Run folders with metrics, answers and models in them, and a tracker that keeps what it gets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from r1ray.telemetry.metrics import MetricsFile
from r1ray.telemetry.rollout_rows import SCHEMA
from r1ray.telemetry.trackers.tracker import Line, Samples, Stage

HOSTILE = "<script>alert(1)</script> # 答え"


def plant(folder: Path, steps: Sequence[int], *, stage: str = "rl", metrics: Mapping[str, float] | None = None) -> None:
    """Append lines to a folder's metrics.jsonl."""
    file = MetricsFile(folder / "metrics.jsonl", stage=stage)
    for step in steps:
        file.append({"step": step, "policy_version": step, "reward/mean": step / 10, **(metrics or {})})


def plant_answers(folder: Path, step: int, *, num_prompts: int = 3) -> None:
    """Write the answers of an evaluation, two to each prompt, the last prompt first."""
    rows: list[dict[str, Any]] = [
        {
            "step": step,
            "group_id": f"eval/held/{number}",
            "trajectory": trajectory,
            "prompt_text": f"prompt {number}",
            "response_text": f"{HOSTILE} {number}.{trajectory}",
            "reward": 0.5,
            "answer": "7",
            "extracted": None,
            "label": "wrong",
        }
        for number in reversed(range(num_prompts))
        for trajectory in range(2)
    ]
    (folder / "rollouts").mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.Table.from_pylist(rows, schema=SCHEMA), folder / "rollouts" / f"eval_step={step:06d}.parquet")


class Kept:
    """A tracker that keeps what it gets."""

    def __init__(self) -> None:
        self.calls: list[str] = []
        self.stages: list[Stage] = []
        self.lines: list[Line] = []
        self.samples: list[Samples] = []

    def begin(self, stage: Stage, id: str, *, sent: int) -> str:
        self.stages.append(stage)
        self.calls.append(f"begin {stage.title} {id or 'new'} {sent}")
        return id or f"id of {stage.name}"

    def log(self, lines: Sequence[Line]) -> None:
        self.lines += lines
        self.calls.append(f"log {[line.step for line in lines]}")

    def go_back(self, step: int) -> None:
        self.calls.append(f"go back {step}")

    def show(self, samples: Samples) -> None:
        self.samples.append(samples)
        self.calls.append(f"show {samples.step}")

    def note_model(self, step: int, folder: Path) -> None:
        self.calls.append(f"model {step} {folder.name}")

    def end(self) -> None:
        self.calls.append("end")
