"""Runs of the real command line, for tests: each in a process group of its own that is ended with the test."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import psutil

SMALL = (
    *("steps=3", "algo.group_size=4", "algo.prompts_per_step=4", "algo.minibatches_per_step=2"),
    *("algo.max_completion_tokens=24", "algo.clip_low=0.2", "algo.clip_high=0.2", "learner.lr=1e-3"),
    *("rollout.dtype=float32", "rollout.max_num_seqs=32", "learner.dtype=float32"),
    *("learner.max_tokens_per_microbatch=256", "weights.probe_every=1"),
    '+reward.parts.even={weight: 1.0, function: "tests.real.rewards:even"}',
    *("eval.every=2", "eval.num_prompts=4", "eval.samples=2", "eval.final_num_prompts=4", "eval.final_samples=2"),
)
"""A run of seconds on the real parts."""


LEFT_OPEN = "ignore::pytest.PytestUnraisableExceptionWarning"
"""For tests of engines in their own process: vLLM leaves a context of ZeroMQ open."""


def own(model: Path, train: Path, held_out: Path | None, output_dir: Path) -> list[str]:
    """Overrides that name the user's files."""
    evaluation = [f"data.eval={held_out}"] if held_out else []
    return [f"model={model}", f"data.train={train}", *evaluation, f"output_dir={output_dir}"]


def environment(**more: str) -> dict[str, str]:
    cleaned = {key: value for key, value in os.environ.items() if not key.startswith("RAY_")}
    own_paths = {"PYTHONPATH": str(Path(__file__).parents[2])}  # tests.real.rewards
    # Ray has its workers wait for every other process of a machine; on a busy one nothing would start in time.
    of_ray = {"RAY_USAGE_STATS_ENABLED": "0", "RAY_worker_niceness": "0"}
    return cleaned | of_ray | {"PYTHONWARNINGS": "ignore"} | own_paths | more


def r1ray(*arguments: str, cwd: Path, timeout_s: float = 480.0, env: dict[str, str] | None = None) -> str:
    """Run ``python -m r1ray`` to its end; returns what it printed, fails where it failed."""
    process = start(*arguments, cwd=cwd, env=env)
    try:
        printed, _ = process.communicate(timeout=timeout_s)
    finally:
        end(process)
    assert process.returncode == 0, printed[-4000:]
    return printed


def start(
    *arguments: str,
    cwd: Path,
    env: dict[str, str] | None = None,
    under: Sequence[str] = (),
    into: Path | None = None,
) -> subprocess.Popen[str]:
    """Start ``python -m r1ray``.

    Args:
        under: a command that becomes another one.
        into: what it prints goes to this file, instead of a pipe.
    """
    output = into.open("w") if into is not None else subprocess.PIPE
    return subprocess.Popen(
        [*under, sys.executable, "-m", "r1ray", *arguments],
        cwd=cwd,
        env=env or environment(),
        stdout=output,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def end(process: subprocess.Popen[str]) -> None:
    """Kill what is left of the process and its group, and nothing else."""
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)
    process.wait(timeout=30)
    if process.stdout:
        process.stdout.close()


def metrics(run_dir: Path) -> list[dict[str, Any]]:
    path = run_dir / "metrics.jsonl"
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def engines(driver: int) -> list[tuple[psutil.Process, psutil.Process]]:
    """The front end and the core of each engine of a run, on a cluster of its own."""
    found = []
    for process in psutil.Process(driver).children(recursive=True):
        try:
            is_core = "VLLM" in process.name() or "VLLM" in " ".join(process.cmdline())
            if is_core and (front := process.parent()) is not None and front.pid != driver:
                found.append((front, process))
        except psutil.NoSuchProcess:
            continue
    return found


def wait_until(condition: Callable[[], bool], *, timeout_s: float, what: str) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, f"{what} did not happen within {timeout_s:g} s"
        time.sleep(0.1)


def only_run(output_dir: Path, prefix: str) -> Path:
    """The one run folder of that name."""
    (folder,) = [path for path in output_dir.iterdir() if path.name.startswith(prefix)]
    return folder


TURNS = ("asleep, at level 2", "spoilt", "awake: weights", "awake: kv_cache")
"""What engines say of the turns that they take with the learner, the second of :mod:`tests.real.sleeping`."""


def turns_in_logs(run_dir: Path) -> dict[str, int]:
    """Count in the logs of a run's engines how often they slept and woke."""
    text = "".join(path.read_text() for path in (run_dir / "logs").glob("*.log"))
    return {line: text.count(line) for line in TURNS}


def balanced(rows: Sequence[dict[str, Any]]) -> bool:
    """Whether the books balance in every row that has them."""
    kept = [row for row in rows if "ledger/issued" in row]
    ends = ("ledger/trained", "ledger/dropped", "ledger/in_flight")
    return bool(kept) and all(row["ledger/issued"] == sum(row[name] for name in ends) for row in kept)
