"""Steps of real runs on CPUs, beside the same runs as ``plan --simulate`` has them.

usage: python -m tests.benchmarks.bench_simulation [FOLDER]

One number is taken from the first run: how fast this machine is, which scales all costs alike. The other runs are
predicted from it: other sizes of a step, generation ahead of learning, minibatches that stream. Lengths and their
spread are those that the run had. Prints measured and simulated seconds of each, and their ratio last. What a FOLDER
holds is not run again.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import pyarrow.parquet as pq

from r1ray.commands.compose import compose
from r1ray.planning.plan import Plan, plan_run
from r1ray.simulation.result import simulate
from tests.real.running import end, environment, metrics, start

STEPS, SKIPPED = 16, 4
SETTINGS = (
    *("experiment=quickstart", f"steps={STEPS}", "stop.window=0", "prepare.options.pretrain_steps=400"),
    *("eval.every=0", "eval.final_num_prompts=8", "eval.final_samples=1", "checkpoint.every=0"),
    *("weights.probe_every=100", "learner.threads=1"),
    *("algo.allow_unbounded_staleness=true", "algo.allow_unweighted_staleness=true"),
)
RUNS: dict[str, tuple[str, ...]] = {
    "one after the other": (),
    "half as many prompts": ("algo.prompts_per_step=16",),
    "twice as many prompts": ("algo.prompts_per_step=64",),
    "one version ahead": ("algo.max_staleness=1",),
    "streaming": (
        *("algo.max_staleness=1", "algo.old_logprobs=engine"),
        *("algo.minibatches_per_step=4", "algo.stream_minibatches=true"),
    ),
}
"""The first tells how fast the machine is."""
LIMIT_S = 300.0


class Measured(NamedTuple):
    """One run."""

    step_s: float
    """Median."""
    prompt_tokens: float
    mean: float
    """Policy tokens of a trajectory."""
    spread: float
    """Their standard deviation over their mean."""


def measure(name: str, overrides: Sequence[str], folder: Path) -> Measured:
    """Run it, if it has not been run, and read what it took."""
    run = folder / name.replace(" ", "-")
    if len(metrics(run)) < STEPS:
        words = ("run", *SETTINGS, *overrides, f"output_dir={folder}", f"name={run.name}")
        process = start(*words, cwd=folder, env=environment(), into=folder / f"{run.name}.txt")
        try:
            process.wait(timeout=LIMIT_S)
        finally:
            end(process)
    steps = [row["time/step_s"] for row in metrics(run) if "time/learn_s" in row][SKIPPED:]
    tables = [pq.read_table(path).to_pylist() for path in sorted((run / "rollouts").glob("step=*.parquet"))[SKIPPED:]]
    rows = [row for table in tables for row in table]
    lengths = [row["num_policy_tokens"] for row in rows]
    mean = statistics.fmean(lengths)
    prompts = statistics.fmean(len(row["prompt_tokens"]) for row in rows)
    return Measured(statistics.median(steps), prompts, mean, statistics.pstdev(lengths) / mean)


def planned(overrides: Sequence[str], found: Measured, slower: float) -> Plan:
    """Plan a run with the lengths that it had, on a machine that is so many times slower than the plan's CPU."""
    lengths = (
        f"plan.prompt_tokens={round(found.prompt_tokens)}",
        f"plan.completion_tokens={round(found.mean)}",
        f"plan.length_spread={found.spread:.3f}",
        "plan.score_s=0.0005",
    )
    plan = plan_run(compose([*SETTINGS, *overrides, *lengths]))
    gpu = plan.gpu
    scaled = replace(
        gpu,
        flops=gpu.flops / slower,
        bandwidth=gpu.bandwidth / slower,
        step_s=gpu.step_s * slower,
        sequence_s=gpu.sequence_s * slower,
    )
    return replace(plan, gpu=scaled)


def simulated(overrides: Sequence[str], found: Measured, slower: float) -> float:
    """Return the seconds of a step by simulation."""
    return simulate(planned(overrides, found, slower), num_steps=STEPS - SKIPPED).step_s


def slowness(overrides: Sequence[str], found: Measured) -> float:
    """Return by how much slower the machine is, so that this run takes as long as it did."""
    low, high = 0.1, 20.0
    for _ in range(20):
        middle = (low * high) ** 0.5
        low, high = (middle, high) if simulated(overrides, found, middle) < found.step_s else (low, middle)
    return (low * high) ** 0.5


def main(arguments: Sequence[str]) -> int:
    """Make the runs and print the table."""
    folder = Path(arguments[0] if arguments else tempfile.mkdtemp(prefix="simulation-")).resolve()
    folder.mkdir(parents=True, exist_ok=True)
    slower = 0.0
    for name, overrides in RUNS.items():
        found = measure(name, overrides, folder)
        slower = slower or slowness(overrides, found)
        seconds = simulated(overrides, found, slower)
        print(
            f"{name:22} {found.prompt_tokens:.0f} + {found.mean:.1f} tokens, spread {found.spread:.2f}: measured "
            f"{found.step_s:.3f} s, simulated {seconds:.3f} s: {seconds / found.step_s:.2f}",
            flush=True,
        )
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
