"""The quickstart at several distances of generation and learning, with several objectives, over three seeds.

usage: python -m tests.benchmarks.staleness [MINUTES [FOLDER [key=value ...]]]

Each cell of the table is a run of STEPS steps whose objective is a preset's; the sizes of a step are the quickstart's.
No run begins after MINUTES (180). What a FOLDER holds is not computed again; further words are overrides of every run.
Prints the table that is in conf/algo/README.md.
"""

from __future__ import annotations

import itertools
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from r1ray.config.folder import config_folder
from tests.real.running import end, environment, metrics, start

STEPS = 40
SEEDS, STALENESS, PRESETS = (0, 1, 2), (0, 1, 4), ("paper", "dapo", "cispo", "async")
SIZES = ("group_size", "prompts_per_step", "minibatches_per_step", "max_completion_tokens", "temperature")
"""Of the quickstart, for every cell."""
SETTINGS = (
    *("experiment=quickstart", f"steps={STEPS}", "stop.window=0"),
    *("eval.every=0", "eval.final_samples=8", "checkpoint.every=0"),
)
LIMIT_S = 3600.0
"""Of one run; the first of a seed makes the base model too."""
SCORE = "eval/heldout/pass@1"


class Cell(NamedTuple):
    """One run."""

    seed: int
    preset: str
    staleness: int

    @property
    def name(self) -> str:
        return f"{self.preset}-{self.staleness}-{self.seed}"


def cells() -> Iterator[Cell]:
    """Yield all cells: those of the first seed first, and of a seed those where the objectives differ most."""
    ordered = itertools.product(SEEDS, reversed(STALENESS), PRESETS)
    return (Cell(seed, preset, staleness) for seed, staleness, preset in ordered)


def overrides(cell: Cell) -> list[str]:
    """Return the preset's objective as single keys, which hold over those of the experiment."""
    values = yaml.safe_load((config_folder() / "algo" / f"{cell.preset}.yaml").read_text(encoding="utf-8"))
    kept = {key: value for key, value in values.items() if key not in (*SIZES, "max_staleness")}
    is_loose = cell.preset == "paper" and cell.staleness > 0
    return [
        f"algo={cell.preset}",
        *(f"algo.{key}={json.dumps(value)}" for key, value in kept.items()),
        f"algo.max_staleness={cell.staleness}",
        *(["algo.allow_unbounded_staleness=true"] if is_loose else []),
    ]


def measure(cell: Cell, folder: Path, more: Sequence[str]) -> dict[str, Any]:
    """Make one run, and return what the table says of it."""
    command = ("run", *SETTINGS, f"seed={cell.seed}", f"output_dir={folder}", f"name={cell.name}")
    process = start(*command, *overrides(cell), *more, cwd=folder, env=environment(), into=folder / f"{cell.name}.txt")
    try:
        code: int | None = process.wait(timeout=LIMIT_S)
    except subprocess.TimeoutExpired:
        code = None
    finally:
        end(process)
    rows = metrics(folder / cell.name)
    steps = [row for row in rows if "staleness/mean" in row]
    return {
        **cell._asdict(),
        "code": code,
        "steps": len(steps),
        "age": statistics.fmean(row["staleness/mean"] for row in steps) if steps else None,
        "scores": [row[SCORE] for row in rows if SCORE in row],
        "reward": statistics.fmean(row["reward/mean"] for row in steps[-5:]) if steps else None,
        "largest_norm": max((row["grad_norm"] for row in steps), default=None),
    }


def table(found: Sequence[dict[str, Any]]) -> str:
    """Return the table in Markdown: final pass@1 of the seeds that were run, and the mean age of what was learned."""
    lines = ["| `algo=` | " + " | ".join(f"{each}" for each in STALENESS) + " |", "|---|" + "---|" * len(STALENESS)]
    for preset in PRESETS:
        of_row = [[one for one in found if (one["preset"], one["staleness"]) == (preset, k)] for k in STALENESS]
        lines.append(f"| `{preset}` | " + " | ".join(map(_cell_text, of_row)) + " |")
    return "\n".join(lines)


def _cell_text(found: Sequence[dict[str, Any]]) -> str:
    if not found:
        return "not run"
    scores = [f"{one['scores'][-1]:.2f}" if one["steps"] == STEPS and one["scores"] else "failed" for one in found]
    ages = [one["age"] for one in found if one["age"] is not None]
    return ", ".join(scores) + (f" (age {statistics.fmean(ages):.1f})" if ages else "")


def main(arguments: Sequence[str]) -> int:
    """Make the runs that are missing, until the time is up, and print the table."""
    minutes = float(arguments[0]) if arguments else 180.0
    folder = Path(arguments[1] if len(arguments) > 1 else tempfile.mkdtemp(prefix="staleness-")).resolve()
    folder.mkdir(parents=True, exist_ok=True)
    results = folder / "results.jsonl"
    found = [json.loads(line) for line in results.read_text().splitlines()] if results.exists() else []
    made = {(one["seed"], one["preset"], one["staleness"]) for one in found}
    until = time.monotonic() + 60.0 * minutes
    for cell in (each for each in cells() if tuple(each) not in made):
        if time.monotonic() > until:
            break
        found.append(measure(cell, folder, arguments[2:]))
        with results.open("a") as file:
            file.write(json.dumps(found[-1]) + "\n")
        print(json.dumps(found[-1]), flush=True)
    print(table(found))
    return int(any(one["code"] != 0 for one in found))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
