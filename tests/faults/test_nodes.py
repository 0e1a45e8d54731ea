"""Runs on several machines that lose one after the other: by its power, and by its network."""

from __future__ import annotations

import getpass
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from r1ray.runtime.actor_status import status_of
from tests.faults.cells import RUNS, Cell
from tests.faults.checks import AGENTS, check_books, check_rollouts
from tests.faults.faulty_run import FaultyRun
from tests.faults.gate import SLOW_S
from tests.faults.selected import runs
from tests.real.machines import Machine, Network, NotPermitted

pytestmark = [pytest.mark.real, pytest.mark.faults, pytest.mark.long]
ROOT = Path(__file__).parents[2]
RAY = str(Path(sys.executable).parent / "ray")
PLACES = (
    *("rollout.resources={rollout_node: 1}", "learner.resources={head_node: 0.001}", "cluster.group_workers=null"),
    *("reward.resources={head_node: 0.001}", "deadlines.start_s=200"),
)


class Cluster:
    """A head with driver, learner and reward workers, and nodes with room for one engine each."""

    def __init__(self, network: Network, run: FaultyRun) -> None:
        self._network, self._run, self._nodes = network, run, list[subprocess.Popen[str]]()
        # What vLLM compiles once is not compiled again on every machine, each of which has a HOME of its own.
        run.env["XDG_CACHE_HOME"] = str(Path.home() / ".cache")
        run.env["TORCHINDUCTOR_CACHE_DIR"] = f"{tempfile.gettempdir()}/torchinductor_{getpass.getuser()}"
        self.head = network.machine("head")
        self._join(self.head, "--head", "--port=6379", "--num-cpus=2", resources={"head_node": 1})
        self.nodes: dict[str, Machine] = {}
        self._num_nodes = 0

    def add(self, count: int = 1) -> None:
        """Have nodes join."""
        for _ in range(count):
            self._num_nodes += 1
            machine = self._network.machine(f"node-{self._num_nodes}")
            self._join(machine, f"--address={self.head.address}:6379", "--num-cpus=1", resources={"rollout_node": 1})
            self.nodes[machine.name] = machine
        waiting = [sys.executable, "-m", "r1ray.cluster.nodes", str(1 + len(self.nodes)), "120"]
        env = self._run.env | {"RAY_ADDRESS": f"{self.head.address}:6379"}
        assert self.head.start(*waiting, cwd=ROOT, env=env).wait(timeout=150) == 0

    def lose(self, name: str, fault: str) -> None:
        """Lose a node."""
        machine = self.nodes.pop(name)
        machine.kill() if fault == "SIGKILL" else self._network.cut_off(machine)

    def _join(self, machine: Machine, *options: str, resources: dict[str, int]) -> None:
        command = [RAY, "start", "--block", f"--temp-dir={machine.folder / 'ray'}", *options]
        command += [f"--node-ip-address={machine.address}", "--object-store-memory=150000000"]
        command += [f"--resources={json.dumps(resources)}"]
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        self._nodes.append(machine.start(*command, cwd=machine.folder, env=self._run.env, **quiet))

    def close(self) -> None:
        """End every machine."""
        self._network.close()
        for node in self._nodes:
            node.wait(timeout=30)


@pytest.fixture
def network() -> Iterator[Network]:
    try:
        made = Network()
    except NotPermitted as error:
        pytest.skip(f"a cluster of several machines in one: {error}")
    yield made
    made.close()


def engines(run: FaultyRun, cluster: Cluster) -> list[str]:
    """Return the nodes that live and have an engine which answers."""
    told = [each for each in run.living("rollout worker") if "its start" not in each.waits_for]
    return [each.process.node for each in told if each.process.node in cluster.nodes and status_of(each).since_s >= 0]


def starting(run: FaultyRun, cluster: Cluster) -> list[str]:
    """Return the nodes on which an engine starts."""
    told = [each for each in run.living("rollout worker") if "its start" in each.waits_for]
    return [each.process.node for each in told if each.process.node in cluster.nodes]


def meet(cell: Cell, run: FaultyRun, cluster: Cluster) -> None:
    """Lose a node in a phase of the run, once there is another one for its engine."""
    run.gates.pace(SLOW_S)
    cluster.add(2 if cell.phase == "starting" else 1)  # the engine that was lost before starts meanwhile
    wait_until_whole(run, cluster)
    if cell.phase == "starting":
        cluster.lose(engines(run, cluster)[0], cell.fault)
        run.note(cell)
        run.wait_slowly(lambda: bool(starting(run, cluster)), what="an engine starts on another node")
        victim = starting(run, cluster)[0]
    else:
        run.reach(cell)
        victim = engines(run, cluster)[0]
    cluster.lose(victim, cell.fault)
    run.gates.open(cell.phase)
    print(f"{cell}: {victim}, last step {run.rows[-1]['step']}", flush=True)


def wait_until_whole(run: FaultyRun, cluster: Cluster) -> None:
    """Wait until two nodes have engines which answer."""
    run.wait_slowly(lambda: len(engines(run, cluster)) == 2, what="two engines")


@pytest.mark.parametrize("name", runs("node"))
def test_a_run_goes_on(tmp_path: Path, qwen_folder: Path, running_total: Path, network: Network, name: str) -> None:
    cells = RUNS[name]
    with ExitStack() as stack:
        run = FaultyRun(tmp_path, qwen_folder, running_total)
        stack.enter_context(run)
        cluster = Cluster(network, run)
        stack.callback(cluster.close)
        cluster.add(2)
        run.start(*PLACES, f"cluster.address={cluster.head.address}:6379", on=cluster.head)
        run.wait_until_begun()
        for cell in cells:
            meet(cell, run, cluster)
        wait_until_whole(run, cluster)
        assert run.finish() == 0, run.printed[-4000:]
        check_books(run)
        check_rollouts(run)
        names = [each.info["name"] for each in run.processes()]
        assert not [name for name in names if name.startswith("ray::") and name not in (*AGENTS, "ray::IDLE")]
