"""Runs as jobs of a Ray cluster of six nodes, each a machine of its own to what runs there (``machines.py``).

The client is a seventh machine, which reaches the job server over the network and has no part in the cluster.
"""

from __future__ import annotations

import getpass
import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.real.machines import Machine, Network, NotPermitted
from tests.real.running import SMALL, balanced, end, metrics, own, wait_until

pytestmark = [pytest.mark.real, pytest.mark.faults, pytest.mark.long]
ROOT = Path(__file__).parents[2]
BIN = Path(sys.executable).parent
WORKERS = {
    "rollout-1": "rollout",
    "rollout-2": "rollout",
    "learner-1": "learner",
    "learner-2": "learner",
    "reward": "reward",
}
"""Machines, and which of the custom resources ``<kind>_node`` each has."""
STEPS = 12
RUN = (
    *(*SMALL, "data.template=none", "data.max_prompt_tokens=16", "name=job", f"steps={STEPS}", "checkpoint.every=50"),
    *("learner.num_ranks=2", "learner.resources={learner_node: 0.001}"),
    *("reward.resources={reward_node: 0.001}", "deadlines.start_s=300", "deadlines.publish_s=90"),
    "rollout.resources={rollout_node: 0.001}",
    '+reward.parts.slow={weight: 0.0, function: "tests.real.rewards:slow"}',  # a step takes seconds
)
OVER_TWO_NODES = ("rollout.nodes_per_actor=2", "rollout.resources={rollout_node: 2}")


@dataclass(frozen=True)
class Cluster:
    """A running one, seen from the client."""

    client: Machine
    head: Machine
    env: dict[str, str]
    hurry: Path
    """A file; once it is there, steps take no longer than they need."""

    @property
    def address(self) -> str:
        return f"http://{self.head.address}:8265"

    def start(self, *command: str, **env: str) -> subprocess.Popen[str]:
        """A command on the client, in the checkout."""
        pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
        return self.client.start(*command, cwd=ROOT, env=self.env | env, **pipes)

    def submit(self, *arguments: str, address: str | None = None, **env: str) -> subprocess.Popen[str]:
        where = ["--address", address or self.address]
        return self.start(sys.executable, "-m", "r1ray", "submit", *where, *arguments, **env)

    def ask(self, path: str) -> Any:
        """Of the dashboard's state API."""
        program = (
            "import os, sys, urllib.request as u;"
            "r = u.Request(sys.argv[1], headers={'Authorization': 'Bearer ' + os.environ['RAY_AUTH_TOKEN']});"
            "print(u.urlopen(r, timeout=30).read().decode())"
        )
        printed = finish(self.start(sys.executable, "-c", program, f"{self.address}/api/v0/{path}"))
        return json.loads(printed)["data"]["result"]["result"]


def finish(process: subprocess.Popen[str], *, code: int = 0, timeout_s: float = 480.0) -> str:
    """Wait for its end; returns what it printed, fails where it ended with another code."""
    try:
        printed, _ = process.communicate(timeout=timeout_s)
    finally:
        end(process)
    assert process.returncode == code, f"{process.returncode}: {printed[-4000:]}"
    return str(printed)


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    try:
        network = Network()
    except NotPermitted as error:
        pytest.skip(f"a cluster of several machines in one: {error}")
    env = {
        "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}",
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN": "0123456789abcdef0123456789abcdef",
        "RAY_USAGE_STATS_ENABLED": "0",
        "PYTHONWARNINGS": "ignore",
        # What vLLM compiles once is not compiled again on every machine.
        "XDG_CACHE_HOME": str(Path.home() / ".cache"),
        "TORCHINDUCTOR_CACHE_DIR": f"{tempfile.gettempdir()}/torchinductor_{getpass.getuser()}",
    }
    hurry = network.folder / "hurry"
    nodes: list[subprocess.Popen[str]] = []
    log = (network.folder / "nodes.log").open("w+")

    def join(machine: Machine, *options: str) -> None:
        node = [str(BIN / "ray"), "start", "--block", f"--temp-dir={machine.folder / 'ray'}"]
        node += [f"--node-ip-address={machine.address}", "--object-store-memory=150000000", *options]
        there = env | {"HURRY": str(hurry)}
        nodes.append(machine.start(*node, cwd=machine.folder, env=there, stdout=log, stderr=log))

    try:
        head, client = network.machine("head"), network.machine("client")
        dashboard = ["--dashboard-host=0.0.0.0", "--dashboard-port=8265"]
        join(head, "--head", "--port=6379", "--num-cpus=0", *dashboard)
        for name, kind in WORKERS.items():
            kinds = json.dumps({f"{kind}_node": 1})
            join(network.machine(name), f"--address={head.address}:6379", "--num-cpus=1", f"--resources={kinds}")
        pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
        gcs = {"RAY_ADDRESS": f"{head.address}:6379"}
        wait = ["-m", "r1ray.cluster.nodes", str(1 + len(WORKERS)), "150"]
        waiting = head.start(sys.executable, *wait, cwd=ROOT, env=env | gcs, **pipes)
        try:
            finish(waiting, timeout_s=200)
        except AssertionError as error:
            log.seek(0)
            raise AssertionError(f"{error}\n{log.read()[-3000:]}") from error
        yield Cluster(client, head, env, hurry)
    finally:
        network.close()
        for node in nodes:
            node.wait(timeout=10)
        log.close()


def test_a_run_is_followed_stopped_and_resumed_by_its_name(
    tmp_path: Path, qwen_folder: Path, running_total: Path, cluster: Cluster
) -> None:
    files = own(qwen_folder, running_total / "train.parquet", running_total / "heldout.parquet", tmp_path / "runs")
    run_dir = tmp_path / "runs" / "job"

    # The connection to the log breaks, and is made again.
    proxy = [sys.executable, str(ROOT / "tests" / "real" / "proxy.py"), cluster.head.address, "8265"]
    between = cluster.start(*proxy)
    wait_until(lambda: _listens(cluster.client, 8265), timeout_s=30, what="the proxy")
    first = cluster.submit(*files, *RUN, address="http://127.0.0.1:8265")
    wait_until(lambda: (run_dir / "config.yaml").exists(), timeout_s=180, what="the run's start")
    end(between)
    between = cluster.start(*proxy)
    wait_until(lambda: bool(metrics(run_dir)), timeout_s=300, what="the first evaluation")
    (command,) = psutil.Process(first.pid).children()  # what was started is nsenter
    command.send_signal(signal.SIGINT)
    said = finish(first, code=130)
    end(between)
    assert "r1ray-job: submitted to" in said and "r1ray-job: connection lost" in said
    assert said.count("run folder: ") == 1, "no line comes twice"
    assert "r1ray-job goes on" in said and "--stop job" in said

    # It goes on by itself, is followed and not started twice, and ends with a checkpoint of its last step.
    second = cluster.submit(*files, *RUN)
    wait_until(lambda: len(metrics(run_dir)) > 1, timeout_s=120, what="a step")
    stopped = finish(cluster.submit("--stop", "job"))
    assert "r1ray-job  STOPPED  exit code 143" in stopped
    followed = finish(second, code=143)
    assert "r1ray-job: runs already; following it" in followed
    rows = metrics(run_dir)
    last = int(rows[-1]["step"])
    assert 1 <= last < STEPS, "stopped on the way"
    assert f"stopped after step {last}; the same command goes on" in followed
    assert [int(folder.name) for folder in (run_dir / "checkpoints").iterdir()] == [last]

    # The same run goes on in a job of its own, now with an engine that takes both rollout nodes.
    cluster.hurry.touch()
    resumed = finish(cluster.submit(*files, *RUN, *OVER_TWO_NODES))
    assert "r1ray-job-2: submitted to" in resumed and "resuming after step" in resumed
    rows = metrics(run_dir)
    assert [row["step"] for row in rows] == list(range(STEPS + 1))
    assert balanced(rows)
    assert all(row["publish/probe_max_logprob_diff"] < 1e-3 for row in rows), "every publish was verified"
    assert all(row["reward/even"] > 0 for row in rows[1:]), "reward functions travel with the working directory"
    manifest = json.loads((run_dir / "stages" / "rl" / "manifest.json").read_text())
    assert Path(manifest["artifact"]["path"]).is_dir()
    assert [line.split()[:2] for line in finish(cluster.submit("--status", "job")).splitlines()] == [
        ["r1ray-job", "STOPPED"],
        ["r1ray-job-2", "SUCCEEDED"],
    ]

    # Everything ran where it was asked for: of the learner's two ranks and the engine's two parts, one on each node.
    address = {node["node_id"]: node["node_ip"] for node in cluster.ask("nodes")}
    name = {f"10.77.0.{number}": name for number, name in enumerate(["head", "client", *WORKERS], start=1)}
    places: dict[str, set[str]] = {}
    parts: set[str] = set()
    for actor in cluster.ask("actors?detail=1&limit=1000"):
        for resource, amount in actor["required_resources"].items():
            kind = resource.partition("_node")[0]
            if kind in WORKERS.values():
                place = name[address[actor["node_id"]]]
                places.setdefault(kind, set()).add(place)
                parts |= {place} if kind == "rollout" and amount == 1 else set()
    assert places == {
        "rollout": {"rollout-1", "rollout-2"},
        "learner": {"learner-1", "learner-2"},
        "reward": {"reward"},
    }
    assert parts == {"rollout-1", "rollout-2"}


def test_mistakes_that_the_cluster_finds_are_the_users_too(tmp_path: Path, cluster: Cluster) -> None:
    wrong = [f"model={tmp_path / 'none'}", f"data.train={tmp_path / 'none.jsonl'}", f"output_dir={tmp_path}"]
    by_r1ray = cluster.submit(*wrong, "name=wrong")
    by_ray = cluster.start(str(ROOT / "launch" / "submit.sh"), *wrong, "name=too", RAY_ADDRESS=cluster.address)
    without_token = cluster.submit("--status", "wrong", RAY_AUTH_MODE="disabled")
    unknown = cluster.submit("--stop", "unheard_of")
    for process, code in ((by_r1ray, 2), (by_ray, 1)):  # Ray's command ends with 1 whatever the job ended with
        assert "no such f" in finish(process, code=code)
    assert "set RAY_AUTH_MODE=token" in finish(without_token, code=2)
    assert "knows no job of a run of this name" in finish(unknown, code=2)


def _listens(machine: Machine, port: int) -> bool:
    probe = [*machine.enter, "bash", "-c", f"</dev/tcp/127.0.0.1/{port}"]
    return subprocess.run(probe, stderr=subprocess.DEVNULL, timeout=10, check=False).returncode == 0
