"""The Slurm script on a real cluster: two nodes, each a machine of its own to what runs there (``machines.py``)."""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from r1ray.loop.checkpoint import Checkpoints
from tests.real.machines import Network, NotPermitted
from tests.real.running import environment, metrics, wait_until
from tests.real.slurm import TOOLS, Slurm

pytestmark = [pytest.mark.real, pytest.mark.needs(*TOOLS)]
ROOT = Path(__file__).parents[2]
ENDED = ("COMPLETED", "FAILED", "TIMEOUT", "CANCELLED", "NODE_FAIL")
FINE_TUNING = (
    *("recipe=sft", "name=job", "data.template=none", "supervised.max_tokens=64", "learner.dtype=float32"),
    *("supervised.epochs=10000", "checkpoint.every=1000000"),
)


@pytest.fixture(scope="module")
def slurm() -> Iterator[Slurm]:
    try:
        network = Network()
    except NotPermitted as error:
        pytest.skip(str(error))
    cluster = Slurm(network)
    try:
        cluster.begin("node-1", "node-2")
        yield cluster
    finally:
        cluster.close()


def rows(folder: Path, *, count: int) -> Path:
    path = folder / "rows.jsonl"
    path.write_text("".join(json.dumps({"prompt": f"{n}a+4b=", "response": f"{n + 4}"}) + "\n" for n in range(count)))
    return path


def submit(slurm: Slurm, folder: Path, *words: str, **env: str) -> str:
    """Run ``launch/slurm.sh`` in a folder of its own; return the job's id."""
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    said = slurm.ask(str(ROOT / "launch" / "slurm.sh"), *words, cwd=folder, **environment(PATH=path), **env)
    found = re.search(r"Submitted batch job (\d+)", said)
    assert found, said
    return found[1]


def log_of(folder: Path, job: str) -> str:
    path = folder / f"r1ray-{job}.log"
    return path.read_text() if path.exists() else ""


def wait_for_end(slurm: Slurm, job: str, *, timeout_s: float) -> str:
    wait_until(lambda: slurm.state(job) in ENDED, timeout_s=timeout_s, what=f"the end of job {job}")
    return slurm.state(job)


def test_a_mistake_is_found_before_ray_is_started(slurm: Slurm, tmp_path: Path) -> None:
    job = submit(slurm, tmp_path, "--signal=B:USR1@60", "--", "algo.group_size=1", "model=m", "data.train=t")
    assert wait_for_end(slurm, job, timeout_s=120) == "FAILED"
    assert "algo.group_size=1: needs at least 2" in log_of(tmp_path, job)
    assert "symmetric" not in log_of(tmp_path, job)
    assert "ExitCode=2:0" in slurm.ask("scontrol", "show", "job", job)
    assert list(tmp_path.iterdir()) == [tmp_path / f"r1ray-{job}.log"]


@pytest.mark.faults
@pytest.mark.long
def test_a_run_on_two_nodes_ends_with_a_checkpoint_is_queued_again_and_goes_on(
    slurm: Slurm, tmp_path: Path, qwen_folder: Path
) -> None:
    """Short steps, told by the signal that comes before the limit. Both nodes read the setup file."""
    run_dir = tmp_path / "runs" / "job"
    (tmp_path / "setup.sh").write_text('echo "$(hostname): setup"; export GLOO_SOCKET_IFNAME=eth0\n')
    words = (
        *(*FINE_TUNING, f"model={qwen_folder}", "learner.num_ranks=2", "supervised.sequences_per_step=4"),
        *(f"supervised.train={rows(tmp_path, count=40)}", f"output_dir={tmp_path / 'runs'}"),
    )
    options = ("--nodes=2", "--time=60", "--signal=B:USR1@120")
    job = submit(slurm, tmp_path, *options, "--", *words, R1RAY_SETUP=str(tmp_path / "setup.sh"))
    wait_until(lambda: slurm.state(job) in ENDED or len(metrics(run_dir)) > 2, timeout_s=400, what="a step")
    assert slurm.state(job) == "RUNNING", log_of(tmp_path, job)[-3000:]
    slurm.ask("scancel", "--batch", "--signal=USR1", job)
    wait_until(
        lambda: "Requeued" in slurm.ask("scontrol", "show", "job", job) or slurm.state(job) in ENDED,
        timeout_s=120,
        what="the queue",
    )
    log = log_of(tmp_path, job)
    (last,) = map(int, re.findall(r"stopped after step (\d+); the same command goes on", log))
    latest = Checkpoints(run_dir / "checkpoints", keep=1).latest()
    assert latest is not None and latest[1].step == last
    assert {f"node-{n}: setup" for n in (1, 2)} <= set(log.splitlines())
    wait_until(
        lambda: int(metrics(run_dir)[-1]["step"]) > last, timeout_s=400, what="a step of the job that was queued again"
    )
    slurm.ask("scancel", "--batch", "--signal=TERM", job)
    assert wait_for_end(slurm, job, timeout_s=180) == "FAILED"
    assert "ExitCode=143:0" in slurm.ask("scontrol", "show", "job", job)
    steps = [int(row["step"]) for row in metrics(run_dir) if "step" in row]
    assert steps == sorted(set(steps))
