"""The same command as a Ray job: ``ray start --head``, ``ray job submit``, on a cluster of this test's own."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from tests.real.running import SMALL, balanced, environment, metrics, own

pytestmark = pytest.mark.real
ROOT = Path(__file__).parents[2]
RAY = str(Path(sys.executable).with_name("ray"))


def free_ports(count: int) -> list[int]:
    sockets = [socket.socket() for _ in range(count)]
    try:
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]
    finally:
        for one in sockets:
            one.close()


@pytest.fixture(scope="module")
def dashboard(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, dict[str, str]]]:
    """A head node started with ``ray start``; yields the job server's address and the client's environment."""
    port, dashboard_port, agent_port = free_ports(3)
    folder = tmp_path_factory.mktemp("ray")
    env = environment(RAY_AUTH_MODE="token", RAY_AUTH_TOKEN="0123456789abcdef0123456789abcdef")
    env["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{env['PATH']}"
    command = [
        *(RAY, "start", "--head", "--block", "--num-cpus=2", f"--port={port}", f"--temp-dir={folder}"),
        *("--node-ip-address=127.0.0.1", "--dashboard-host=127.0.0.1", f"--dashboard-port={dashboard_port}"),
        f"--dashboard-agent-listen-port={agent_port}",  # another cluster of this machine may have the default
    ]
    log = (folder / "head.log").open("w")
    head = subprocess.Popen(command, env=env, stdout=log, stderr=subprocess.STDOUT, start_new_session=True)
    try:
        deadline = time.monotonic() + 60
        while not _listens(dashboard_port):
            assert head.poll() is None and time.monotonic() < deadline, (folder / "head.log").read_text()[-2000:]
            time.sleep(0.2)
        yield f"http://127.0.0.1:{dashboard_port}", env
    finally:
        # `ray stop` would end every Ray process of the machine: end this node's own.
        family = [psutil.Process(head.pid), *psutil.Process(head.pid).children(recursive=True)]
        for process in family:
            with suppress(psutil.NoSuchProcess):
                process.kill()
        head.wait(timeout=30)
        psutil.wait_procs(family, timeout=10)
        log.close()


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        probe.settimeout(0.5)
        return probe.connect_ex(("127.0.0.1", port)) == 0


def submit(address: str, env: dict[str, str], *command: str, timeout_s: float) -> subprocess.CompletedProcess[str]:
    """``ray job submit`` of the checkout. The job server answers before its node's agent is there: try again then."""
    line = [RAY, "job", "submit", "--address", address, "--working-dir", ".", "--", *command]
    deadline = time.monotonic() + 90
    while True:
        done = subprocess.run(line, cwd=ROOT, env=env, capture_output=True, text=True, timeout=timeout_s, check=False)
        if "No available agent" not in done.stderr or time.monotonic() > deadline:
            return done
        time.sleep(1.0)


def test_ray_job_submit_runs_the_recipe(
    tmp_path: Path, qwen_folder: Path, running_total: Path, dashboard: tuple[str, dict[str, str]]
) -> None:
    address, env = dashboard
    files = own(qwen_folder, running_total / "train.parquet", running_total / "heldout.parquet", tmp_path / "runs")
    entrypoint = ["python", "-m", "r1ray", "run", *files, *SMALL, "name=job", "steps=1"]
    entrypoint += ["data.template=none", "data.max_prompt_tokens=16"]
    done = submit(address, env, *entrypoint, timeout_s=300)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-1000:]
    rows = metrics(tmp_path / "runs" / "job")
    assert [row["step"] for row in rows] == [0, 1]
    assert balanced(rows)
    manifest = json.loads((tmp_path / "runs" / "job" / "stages" / "rl" / "manifest.json").read_text())
    assert Path(manifest["artifact"]["path"]).is_dir()


def test_a_users_mistake_is_the_jobs_exit_code_too(dashboard: tuple[str, dict[str, str]]) -> None:
    address, env = dashboard
    done = submit(address, env, "python", "-m", "r1ray", "run", "algo.group_size=1", timeout_s=120)
    assert done.returncode != 0
    assert "algo.group_size=1: needs at least 2" in done.stdout, done.stderr[-1500:]
