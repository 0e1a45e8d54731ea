"""The quickstart with a fault every twenty seconds, beside the same one without any.

usage: python -m tests.faults.soak [MINUTES [SEED [FOLDER [key=value ...]]]]

Both make as many steps as the quickstart does in MINUTES (20) on two quiet cores. What is lost is chosen by SEED (0).
In a FOLDER that was used before the base model is not made again, and both runs are made anew; further words are
overrides of both.
The final pass@1 of the run with faults has to be within the interval of the one without, and no group is trained twice
in the weights that remain; else the exit code is 1.
"""

from __future__ import annotations

import os
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from r1ray.runtime.actor_status import read_actors, status_of
from r1ray.telemetry.rollouts import read_rollouts
from tests.real.running import balanced, end, environment, metrics, start

EVERY_S = 20.0
STEPS_A_MINUTE = 40
WEIGHTS = {
    "rollout worker": 5,
    "engine core": 5,
    "reward worker": 5,
    "group worker": 5,
    "rollout log": 5,
    "learner rank": 1,
}
"""How often each role is lost, beside the others."""
PATIENCE = 6.0
"""The run with faults may take so many times as long as the one without."""
SETTINGS = (
    *("experiment=quickstart", "rollout.num_actors=2", "rollout.cpus_per_actor=0.5", "cluster.group_workers=1"),
    *("checkpoint.every=10", "learner.max_restarts=20", "stop.window=0"),
)


@dataclass
class Ended:
    """A run that has ended."""

    folder: Path
    printed: str
    faults: Counter[str] = field(default_factory=Counter)

    @property
    def rows(self) -> list[dict[str, Any]]:
        return metrics(self.folder)

    @property
    def steps(self) -> list[dict[str, Any]]:
        return [row for row in self.rows if "time/step_s" in row]

    def last(self, name: str) -> float:
        return float([row[name] for row in self.rows if name in row][-1])

    @property
    def seconds(self) -> float:
        """From the end of the first step to that of the last, with what was undone."""
        return float(self.steps[-1]["wall_time"] - self.steps[0]["wall_time"])

    @property
    def tokens_per_s(self) -> float:
        """Trained tokens of the steps that remain, a second of all."""
        tokens = [row["throughput/trained_tokens_per_s"] * row["time/step_s"] for row in self.steps[1:]]
        return float(sum(tokens)) / self.seconds

    def found(self, pattern: str) -> list[float]:
        """Numbers of seconds in what the run said."""
        return [float(each) for each in re.findall(pattern, self.printed)]

    @property
    def twice(self) -> int:
        """Groups that were trained on in two of the steps that remain."""
        columns = ["group_id", "group_status", "step"]
        rows = read_rollouts(self.folder / "rollouts", columns=columns)
        trained = {(row["group_id"], row["step"]) for row in rows if row["group_status"] == "trained"}
        return len(trained) - len({group for group, _ in trained})


def run(name: str, work: Path, steps: int, *more: str, chosen: random.Random | None = None, limit_s: float) -> Ended:
    """Make the quickstart's steps; with ``chosen`` a process of the run is killed every so often."""
    log = work / f"{name}.txt"
    command = ("run", *SETTINGS, f"steps={steps}", f"output_dir={work}", f"name={name}", *more)
    folder, faults, began = work / name, Counter[str](), time.monotonic()
    process = start(*command, cwd=work, env=environment(), into=log)
    try:
        while process.poll() is None:
            assert time.monotonic() - began < limit_s, f"{name}: longer than {limit_s:.0f} s"
            try:
                process.wait(EVERY_S if chosen is not None else 5.0)
            except subprocess.TimeoutExpired:
                if chosen is not None and len(metrics_or_none(folder)) > 1:
                    faults += cause(folder, chosen)
    finally:
        end(process)
    assert process.returncode == 0, log.read_text()[-4000:]
    return Ended(folder, log.read_text(), faults)


def metrics_or_none(folder: Path) -> list[dict[str, Any]]:
    try:
        return metrics(folder)
    except ValueError:  # a line is being written
        return []


def cause(folder: Path, chosen: random.Random) -> Counter[str]:
    """Kill a process of a role that is there now; an engine core is stopped now and then."""
    living: dict[str, list[int]] = {}
    for told in read_actors(folder / "logs"):
        if told.role in WEIGHTS and status_of(told).state == "running":
            living.setdefault(told.role, []).append(told.process.pid)
    if not living:
        return Counter()
    roles = sorted(living)
    (role,) = chosen.choices(roles, [WEIGHTS[each] for each in roles])
    is_stopped = role == "engine core" and chosen.random() < 0.3
    try:
        os.kill(chosen.choice(sorted(living[role])), signal.SIGSTOP if is_stopped else signal.SIGKILL)
    except ProcessLookupError:
        return Counter()
    return Counter({f"{role}, stopped" if is_stopped else role: 1})


def mean_and_most(values: list[float]) -> str:
    return f"{sum(values) / len(values):.1f} s on average, {max(values):.1f} s at most" if values else "none"


def main(arguments: list[str]) -> int:
    """Run both, and print what the faults cost."""
    minutes = float(arguments[0]) if arguments else 20.0
    seed = int(arguments[1]) if len(arguments) > 1 else 0
    work = Path(arguments[2] if len(arguments) > 2 else tempfile.mkdtemp(prefix="soak-")).resolve()
    steps = round(minutes * STEPS_A_MINUTE)
    for old in ("whole", "faulty"):
        shutil.rmtree(work / old, ignore_errors=True)
    more = arguments[3:]
    whole = run("whole", work, steps, *more, limit_s=60 * (15 + PATIENCE * minutes))
    faulty = run(
        "faulty",
        work,
        steps,
        *more,
        chosen=random.Random(seed),
        limit_s=60 + PATIENCE * max(60 * minutes, whole.seconds),
    )
    low, score, high = (whole.last(f"eval/heldout/pass@1{end}") for end in ("_low", "", "_high"))
    found = faulty.last("eval/heldout/pass@1")
    is_continuous = [row["step"] for row in faulty.steps] == list(range(1, steps + 1))
    print(f"{steps} steps; without faults {whole.seconds:.0f} s, with them {faulty.seconds:.0f} s ({work})")
    print(f"faults: {sum(faulty.faults.values())} ({', '.join(f'{n} {role}' for role, n in faulty.faults.items())})")
    print(f"final pass@1: {found:.3f}; without faults {score:.3f} [{low:.3f}, {high:.3f}]")
    print(f"groups issued again: {faulty.last('ledger/reissued'):.0f}; trained twice: {faulty.twice}")
    print(
        f"goodput: {faulty.tokens_per_s / whole.tokens_per_s:.2f} of {whole.tokens_per_s:.0f} trained tokens a second"
    )
    print(f"an engine is back after {mean_and_most(faulty.found(r'rollout [01] is back after ([0-9.]+) s'))}")
    print(f"the learner is back after {mean_and_most(faulty.found(r'learner group is back after ([0-9.]+) s'))}")
    is_right = low <= found <= high and not faulty.twice and is_continuous and balanced(faulty.rows)
    print("passed" if is_right else "FAILED")
    return int(not is_right)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
