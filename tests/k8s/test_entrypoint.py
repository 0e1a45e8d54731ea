"""The overlays' commands, each as it stands and with as few overrides after it as two CPU cores need, on pods with the
labels and resources of theirs; and pods that have to go, which end a run as Kubernetes would have them do it.
(``test_head_restart.py`` runs the command of ``one-gpu-node``.)
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.k8s.manifests import JOBS, groups
from tests.k8s.pods import TINY, WITHOUT_GPUS, Pods, entrypoint, rows_in, running, wait_for
from tests.real.machines import NAMESPACES

pytestmark = pytest.mark.needs("kubectl", *NAMESPACES)
RUN_S, END_S = 240.0, 120.0
FULL = "8x8"
"""The overlay that has every group, label and resource that another one has."""


@pytest.fixture(scope="module")
def pods() -> Iterator[Pods]:
    with running(FULL) as made:
        yield made


@pytest.fixture
def storage(tmp_path: Path, running_total: Path) -> Path:
    """What is mounted as ``/storage``, with the user's data."""
    shutil.copytree(running_total, tmp_path / "storage" / "data")
    shutil.copy(running_total / "heldout.parquet", tmp_path / "storage" / "data" / "eval.parquet")
    return tmp_path / "storage"


@pytest.mark.parametrize("overlay", JOBS)
def test_its_nodes_are_among_those_that_its_command_is_run_on(overlay: str) -> None:
    there = {each.name: each.node for each in groups(FULL)}
    for each in groups(overlay):
        assert each.node.labels == there[each.name].labels
        assert each.node.resources.keys() <= there[each.name].resources.keys()


@pytest.mark.real
@pytest.mark.faults  # the pods are those of the test that ends them
@pytest.mark.long
@pytest.mark.parametrize(("overlay", "engines_on"), [("1x8", "learner"), ("8x8", "rollout")])
def test_the_command_for_gpus_runs(overlay: str, engines_on: str, pods: Pods, storage: Path, qwen_folder: Path) -> None:
    before = workers_of_engines(pods)
    submitter = pods.submit(
        overlay, overlay, entrypoint(overlay, storage, *TINY, *WITHOUT_GPUS, f"model={qwen_folder}")
    )
    submitter.wait(RUN_S)
    assert f"Job '{overlay}' succeeded" in pods.log("submitter"), pods.log("submitter")
    rows = rows_in(storage)
    assert [row["step"] for row in rows] == [0, 1]
    assert {"reward/mean", "reward/accuracy", "reward/format"} <= rows[1].keys()
    assert rows[1]["ledger/issued"] == rows[1]["ledger/trained"] == 4
    assert {pod for pod, _ in workers_of_engines(pods) - before} == {engines_on}


def workers_of_engines(pods: Pods) -> set[tuple[str, str]]:
    """The processes of vLLM, by the pod that they run in and the file that they write to."""
    return {
        (name, path.name)
        for name, machine in pods.machines.items()
        for path in machine.folder.glob("ray/session_2*/logs/worker-*.out")
        if "EngineCore" in path.read_text()
    }


@pytest.mark.real
@pytest.mark.faults
@pytest.mark.long
def test_the_quickstart_runs_and_pods_that_go_leave_a_checkpoint(pods: Pods, storage: Path, qwen_folder: Path) -> None:
    """The last one: it ends the pods."""
    own = ["prepare.maker=null", f"model={qwen_folder}", f"data.train={storage}/data/train.parquet"]
    command = entrypoint("cpu", storage, *TINY, *own, "steps=1000", "checkpoint.every=1000")
    submitter = pods.submit("cpu", "r1ray-x", command)

    def is_running() -> bool:
        assert submitter.poll() is None, pods.log("submitter")
        return len(rows_in(storage)) > 3

    wait_for(is_running, timeout_s=RUN_S, what="the third step")

    # The hooks of all three pods at once; two of them would end the run.
    hooks = {
        each.name: pods.run(each.name, *each.container["lifecycle"]["preStop"]["exec"]["command"])
        for each in groups("cpu")
    }
    for name, hook in hooks.items():
        hook.wait(END_S)
        assert "Ray processes" in pods.log(name)  # `ray stop`
    [supervisor] = pods.machines["learner"].folder.glob("ray/session_2*/logs/jobs/supervisor-r1ray-x.log")
    assert "exited with code 143" in supervisor.read_text(), [pods.log(name) for name in hooks]  # KubeRay tries again
    [metrics] = storage.glob("runs/*/metrics.jsonl")
    versions = [path.name for path in (metrics.parent / "checkpoints").iterdir() if path.is_dir()]
    assert versions == [str(rows_in(storage)[-1]["step"])]
