"""An overlay's pods on this machine: each is a machine of its own (``tests/real/machines.py``) with a Ray node that is
started as KubeRay (1.7, ``controllers/ray/common/{pod,job}.go``) starts it; the head is found by its service's name.

Other than there: no node has a GPU, CPUs and memory are few, and Ray is told a pod's address, since these machines have
two networks.
"""

from __future__ import annotations

import getpass
import json
import os
import shlex
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, TypeVar

import pytest

from tests.k8s.image import ROOT
from tests.k8s.manifests import K8S, groups, rayjob
from tests.real.machines import Machine, Network, NotPermitted

SERVICE = "r1ray-head-svc"
DASHBOARD = f"http://{SERVICE}:8265"
PASSWORD = "a-password"
TOKEN = "a-token-of-at-least-thirty-two-characters"
START_S, MAX_RESTARTS = 120.0, 3
MAX_CPUS = 3.0
"""Of a node. Of a learner's, the driver, a rank and an engine take one each."""
TINY = (
    *("steps=1", "algo.prompts_per_step=4", "algo.group_size=4", "algo.minibatches_per_step=1"),
    *("algo.max_completion_tokens=16", "data.template=none", "data.max_prompt_tokens=16"),
    *("learner.num_ranks=1", "learner.sequence_parallel_size=1", "learner.threads=1", "learner.dtype=float32"),
    *("rollout.num_actors=1", "rollout.dtype=float32", "rollout.max_num_seqs=16"),
    *("eval.final_num_prompts=4", "eval.final_samples=1"),
)
"""What makes a run that two CPU cores do in half a minute."""
WITHOUT_GPUS = ("learner.gpus_per_rank=0", "rollout.gpus_per_actor=0", "reward.num_actors=1")
Found = TypeVar("Found")


def wait_for(condition: Callable[[], Found], *, timeout_s: float, what: str) -> Found:
    """What ``condition`` returns once it is true."""
    deadline = time.monotonic() + timeout_s
    while not (found := condition()):
        assert time.monotonic() < deadline, f"{what} did not happen within {timeout_s:g} s"
        time.sleep(0.1)
    return found


def entrypoint(overlay: str, storage: Path, *overrides: str) -> str:
    """An overlay's command, with a folder in the place of ``/storage`` and overrides after its own."""
    command = rayjob(overlay)["entrypoint"].replace("/storage", str(storage))
    return " ".join([command, *overrides])


class Pods:
    """One pod of each of an overlay's groups, and the submitter's."""

    def __init__(self, overlay: str, *, with_redis: bool = False) -> None:
        """``with_redis`` starts one, and gives the pods what KubeRay makes of ``gcsFaultToleranceOptions``. Raises
        NotPermitted where namespaces cannot be made; so does :meth:`start`."""
        self._groups = {group.name: group for group in groups(overlay)}
        self._own: dict[str, dict[str, str]] = {name: {} for name in self._groups}
        self._network = Network()
        self._started: list[subprocess.Popen[str]] = []
        self._nodes: dict[str, subprocess.Popen[str]] = {}
        self._commands: dict[str, tuple[str, ...]] = {}
        self._heads, self._with_redis = 0, with_redis
        self.machines: dict[str, Machine] = {}

    def start(self) -> None:
        """The head, and then all workers at once."""
        workers = [name for name in self._groups if name != "head"]
        for name in ("submitter", *workers):
            self.machines[name] = self._network.machine(name)
        if self._with_redis:
            self._start_redis()
        self.start_head()
        for name in workers:
            self._start(name, f"--address={SERVICE}:6379")
        for name in workers:
            self._wait(name)

    def _start_redis(self) -> None:
        redis = self.machines["redis"] = self._network.machine("redis")
        options = ["--bind", redis.address, "--requirepass", PASSWORD, "--save", "", "--appendonly", "no"]
        self.run("redis", "redis-server", *options)
        wait_for(lambda: "Ready to accept connections" in self.log("redis"), timeout_s=60, what="the start of Redis")
        for own in self._own.values():
            own["RAY_gcs_rpc_server_reconnect_timeout_s"] = "600"
        self._own["head"] = {
            "RAY_external_storage_namespace": "7a4e8a57-uid-of-the-cluster",
            "RAY_REDIS_ADDRESS": f"{redis.address}:6379",
            "REDIS_PASSWORD": PASSWORD,
        }

    def start_head(self) -> None:
        """The first one, or another pod in its place, which has another address."""
        self._heads += 1
        head = self.machines["head"] = self._network.machine(f"head-{self._heads}")
        for machine in self.machines.values():
            hosts = machine.folder / "hosts"  # written in place: the file is mounted
            hosts.write_text(f"{hosts.read_text()}{head.address} {SERVICE}\n")
        # KubeRay has rayStartParams refer to the variable.
        password = ["--redis-password=$REDIS_PASSWORD"] if "REDIS_PASSWORD" in self._own["head"] else []
        self._start("head", "--head", "--dashboard-host=0.0.0.0", *password)
        self._wait("head")

    def kill(self, name: str) -> None:
        """A pod is gone, without a word."""
        self.machines[name].kill()
        self._nodes[name].wait(10)

    def run(self, name: str, *command: str) -> subprocess.Popen[str]:
        """A command in a pod's container, where ``end-run`` is in the PATH."""
        machine = self.machines[name]
        known = {
            "PATH": f"{K8S / 'image'}:{Path(sys.executable).parent}:{os.environ['PATH']}",
            "PYTHONPATH": str(ROOT),
            "PYTHONUNBUFFERED": "1",
            "RAY_ADDRESS": f"{'127.0.0.1' if name == 'head' else SERVICE}:6379",
            "RAY_AUTH_MODE": "token",  # as authOptions has it
            "RAY_AUTH_TOKEN": TOKEN,
            "RAY_USAGE_STATS_ENABLED": "0",
            # What is compiled once is not compiled again in every pod.
            "XDG_CACHE_HOME": str(Path.home() / ".cache"),
            "TORCHINDUCTOR_CACHE_DIR": f"{tempfile.gettempdir()}/torchinductor_{getpass.getuser()}",
        }
        environment = known | self._own.get(name, {})
        with (machine.folder / "log").open("a") as log:
            started = machine.start(*command, cwd=machine.folder, env=environment, stdout=log, stderr=log)
        self._started.append(started)
        return started

    def log(self, name: str) -> str:
        """What commands in a pod have printed."""
        return (self.machines[name].folder / "log").read_text()

    def submit(self, overlay: str, job: str, command: str) -> subprocess.Popen[str]:
        """The container of the submitter's pod. It submits a job once, however often it is started, and follows it."""
        spec = rayjob(overlay)
        status = f"ray job status --address {DASHBOARD} {job} >/dev/null 2>&1"
        submit = (
            f"ray job submit --address {DASHBOARD} --no-wait --submission-id {job} "
            f"--entrypoint-num-cpus {spec['entrypointNumCpus']:f} "
            f"--entrypoint-resources {shlex.quote(spec['entrypointResources'])} -- {command}"
        )
        follow = f"ray job logs --address {DASHBOARD} --follow {job}"
        script = f"if ! {status} ; then {submit} ; fi ; {follow}"
        return self.run("submitter", "/bin/bash", "-ec", "--", script)

    def close(self) -> None:
        self._network.close()
        for process in self._started:
            process.wait(10)

    def _start(self, name: str, *options: str) -> None:
        machine, node = self.machines[name], self._groups[name].node
        custom = {key: amount for key, amount in node.resources.items() if key not in ("CPU", "GPU")}
        labels = ",".join(f"{key}={value}" for key, value in node.labels.items())
        command = [
            *("ray", "start", "--block", *options, "--metrics-export-port=8080", "--dashboard-agent-listen-port=52365"),
            *(f"--num-cpus={min(node.resources['CPU'], MAX_CPUS):g}", "--num-gpus=0"),
            *(f"--resources={shlex.quote(json.dumps(custom))}", f"--labels={shlex.quote(labels)}"),
            *(f"--object-store-memory={100 << 20}", f"--node-ip-address={machine.address}"),
            f"--temp-dir={machine.folder / 'ray'}",
        ]
        self._commands[name] = ("/bin/bash", "-c", "--", " ".join(command))
        self._nodes[name] = self.run(name, *self._commands[name])

    def _wait(self, name: str) -> None:
        """As Kubernetes does, start a container again that ends: a node gives up whose agent is late on busy cores."""
        attempts = iter(range(MAX_RESTARTS))

        def is_up() -> bool:
            if self._nodes[name].poll() is not None:
                assert next(attempts, None) is not None, self.log(name)
                self._nodes[name] = self.run(name, *self._commands[name])
            return "--block" in self.log(name)

        wait_for(is_up, timeout_s=START_S, what=f"the start of {name}")


@contextmanager
def running(overlay: str, *, with_redis: bool = False) -> Iterator[Pods]:
    """Pods whose Ray nodes have joined each other; the test skips where namespaces cannot be made."""
    with ExitStack() as stack:
        try:
            pods = Pods(overlay, with_redis=with_redis)
            stack.callback(pods.close)
            pods.start()
        except NotPermitted as error:
            pytest.skip(f"pods with addresses of their own: {error}")
        yield pods


def rows_in(storage: Path) -> list[dict[str, Any]]:
    """Those of the one run's ``metrics.jsonl``, as far as they are written."""
    files = list(storage.glob("runs/*/metrics.jsonl"))
    lines = files[0].read_text().splitlines() if files else []
    return [json.loads(line) for line in lines if line.endswith("}")]
