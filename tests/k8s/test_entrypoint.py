"""The CPU overlay's command on the Ray cluster that its manifest describes, submitted as KubeRay's submitter does it,
and ended as pods are that have to go. All nodes are on this machine; ports, memory and sizes are smaller than there."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.k8s.manifests import K8S, groups, rayjob

pytestmark = pytest.mark.real
START_S, RUN_S, END_S = 60.0, 240.0, 120.0
TINY = [
    "prepare.maker=null",
    "steps=1000",
    "algo.prompts_per_step=4",
    "algo.group_size=4",
    "algo.minibatches_per_step=1",
    "algo.max_completion_tokens=16",
    "rollout.max_num_seqs=16",
    "learner.threads=1",
    "checkpoint.every=1000",
]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Cluster:
    """The Ray nodes of the overlay, by ``ray start`` as KubeRay writes it."""

    def __init__(self, folder: Path) -> None:
        self.gcs, self.dashboard = free_port(), free_port()
        self.folder, self.processes = folder, list[subprocess.Popen[bytes]]()
        self.env = os.environ | {
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            "RAY_AUTH_MODE": "token",  # as authOptions has it
            "RAY_AUTH_TOKEN": "a-token-of-at-least-thirty-two-characters",
            "RAY_USAGE_STATS_ENABLED": "0",
            "RAY_ADDRESS": f"127.0.0.1:{self.gcs}",
            "PYTHONPATH": str(K8S.parent),
        }

    def start(self) -> None:
        for each in groups("cpu"):
            self._start(each.name == "head", each.node.resources, dict(each.node.labels))

    def _start(self, is_head: bool, resources: dict[str, float], labels: dict[str, str]) -> None:
        custom = {name: amount for name, amount in resources.items() if name not in ("CPU", "GPU")}
        command = ["ray", "start", "--block", f"--num-cpus={resources['CPU']:g}", f"--resources={json.dumps(custom)}"]
        command += ["--labels=" + ",".join(f"{name}={value}" for name, value in labels.items())]
        command += [f"--object-store-memory={100 << 20}", f"--dashboard-agent-listen-port={free_port()}"]
        command += [f"--metrics-export-port={free_port()}"]
        if is_head:
            command += ["--head", f"--port={self.gcs}", f"--dashboard-port={self.dashboard}"]
            command += [f"--temp-dir={self.folder}"]
        else:
            command += [f"--address=127.0.0.1:{self.gcs}"]
        path = self.folder / f"{labels['r1ray.io/pool']}.log"
        with path.open("wb") as log:
            started = subprocess.Popen(command, env=self.env, stdout=log, stderr=log, start_new_session=True)
        self.processes.append(started)
        deadline = time.monotonic() + START_S
        while b"--block" not in path.read_bytes():
            assert started.poll() is None and time.monotonic() < deadline, path.read_text()
            time.sleep(0.2)

    def shell(self, command: str, **more: str) -> subprocess.CompletedProcess[str]:
        environment = self.env | more
        return subprocess.run(
            ["/bin/bash", "-ec", "--", command], env=environment, capture_output=True, text=True, timeout=END_S
        )

    def job(self, name: str) -> Any:
        """What the cluster knows of a job."""
        import urllib.request

        request = urllib.request.Request(
            f"http://127.0.0.1:{self.dashboard}/api/jobs/{name}",
            headers={"Authorization": f"Bearer {self.env['RAY_AUTH_TOKEN']}"},
        )
        with urllib.request.urlopen(request, timeout=30) as answer:
            return json.load(answer)

    def close(self) -> None:
        """One after the other, the head last: a worker that no longer finds it takes twenty seconds to end. (`ray stop`
        would end the Ray processes of others too.)"""
        for process in reversed(self.processes):
            process.terminate()
            try:
                process.wait(30)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


@pytest.fixture
def cluster() -> Iterator[Cluster]:
    folder = Path(tempfile.mkdtemp(prefix="r1k-", dir="/tmp"))  # short: paths of sockets have at most 107 bytes
    made = Cluster(folder)
    try:
        made.start()
        yield made
    finally:
        made.close()
        shutil.rmtree(folder, ignore_errors=True)


def steps_in(storage: Path) -> list[int]:
    files = list(storage.glob("runs/*/metrics.jsonl"))
    lines = files[0].read_text().splitlines() if files else []
    return [int(json.loads(line)["step"]) for line in lines if line.endswith("}")]


def test_the_command_runs_and_pods_that_go_leave_a_checkpoint(
    cluster: Cluster, tmp_path: Path, qwen_folder: Path, running_total: Path
) -> None:
    job, storage = rayjob("cpu"), tmp_path / "storage"
    paths = [f"model={qwen_folder}", f"data.train={running_total}/train.parquet"]
    entrypoint = " ".join([job["entrypoint"].replace("/storage", str(storage)), *TINY, *paths])
    submitted = cluster.shell(
        f"ray job submit --address http://127.0.0.1:{cluster.dashboard} --no-wait --submission-id r1ray-x "
        f"--entrypoint-num-cpus {job['entrypointNumCpus']:f} "
        f"--entrypoint-resources {shlex.quote(job['entrypointResources'])} -- {entrypoint}"
    )
    assert submitted.returncode == 0, submitted.stderr

    deadline = time.monotonic() + RUN_S
    while len(steps_in(storage)) < 3:
        state = cluster.job("r1ray-x")
        assert state["status"] in ("PENDING", "RUNNING"), state["message"]
        assert time.monotonic() < deadline, state
        time.sleep(1)

    # The hooks of all three pods at once; two of them would end the run. Their last deed, `ray stop`, is only noted: it
    # knows no limits here.
    stub = tmp_path / "bin"
    stub.mkdir()
    (stub / "ray").write_text(f'#!/bin/sh\necho "$@" >> {tmp_path}/stopped\n')
    (stub / "ray").chmod(0o755)
    environment = cluster.env | {"PATH": f"{stub}:{cluster.env['PATH']}", "END_RUN_ASKED_S": "8"}
    hooks = []
    for each in groups("cpu"):
        command = each.container["lifecycle"]["preStop"]["exec"]["command"]
        command = [str(K8S / "image" / command[0]), *command[1:]]
        hooks.append(subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT))
    said = [hook.communicate(timeout=END_S)[0].decode() for hook in hooks]
    assert [hook.returncode for hook in hooks] == [0, 0, 0], said
    assert (tmp_path / "stopped").read_text() == "stop\n" * 3

    ended = cluster.job("r1ray-x")
    assert (ended["status"], ended["driver_exit_code"]) == ("FAILED", 143), ended["message"]  # KubeRay tries again
    [metrics] = storage.glob("runs/*/metrics.jsonl")
    versions = [path.name for path in (metrics.parent / "checkpoints").iterdir() if path.is_dir()]
    assert versions == [str(steps_in(storage)[-1])]
