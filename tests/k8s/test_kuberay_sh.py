"""launch/kuberay.sh against a kubectl that answers what a cluster would have answered, and notes what it was asked."""

from __future__ import annotations

import os
import signal
import subprocess
from pathlib import Path

import pytest

from tests.k8s.image import ROOT
from tests.k8s.manifests import kubectl

SCRIPT = ROOT / "launch" / "kuberay.sh"
FAKE = """#!/usr/bin/env bash
# Renders with the real one. A file STATES has the deployment states one after the other; the last one stays.
echo "$*" >> "$FOLDER/asked"
case "$*" in
kustomize*) exec "$REAL" "$@" ;;
api-resources*) cat "$FOLDER/kinds" ;;
apply*) cat > "$FOLDER/applied"; [ ! -e "$FOLDER/refuses" ] || exit 1 ;;
*range*) grep -q '^kind: RayJob' "$FOLDER/applied" && echo "r1ray r1ray" ;;
*jobDeploymentStatus*)
    head -n 1 "$FOLDER/states"
    [ "$(wc -l < "$FOLDER/states")" -gt 1 ] && sed -i 1d "$FOLDER/states" ;;
*status.jobStatus*) cat "$FOLDER/job_status" ;;
*status.message*) cat "$FOLDER/message" ;;
*logs*) echo "step 1 reward 0.5"; [ -e "$FOLDER/endless" ] && sleep 60 ;;
esac
exit 0
"""


KINDS = """\
configmaps              cm      v1                            true    ConfigMap
namespaces              ns      v1                            false   Namespace
persistentvolumeclaims  pvc     v1                            true    PersistentVolumeClaim
serviceaccounts         sa      v1                            true    ServiceAccount
networkpolicies         netpol  networking.k8s.io/v1          true    NetworkPolicy
poddisruptionbudgets    pdb     policy/v1                     true    PodDisruptionBudget
priorityclasses         pc      scheduling.k8s.io/v1          false   PriorityClass
rayjobs                         ray.io/v1                     true    RayJob
rayclusters                     ray.io/v1                     true    RayCluster
"""
"""What ``kubectl api-resources`` prints of a cluster with KubeRay and nothing else."""


class Cluster:
    """What the fake kubectl knows."""

    def __init__(self, folder: Path, *, states: list[str], job_status: str = "", message: str = "") -> None:
        self.folder = folder
        (folder / "bin").mkdir()
        fake = folder / "bin" / "kubectl"
        fake.write_text(FAKE)
        fake.chmod(0o755)
        (folder / "states").write_text("".join(f"{state}\n" for state in states))
        (folder / "kinds").write_text(KINDS)
        (folder / "job_status").write_text(job_status)
        (folder / "message").write_text(message)
        paths = {"FOLDER": str(folder), "REAL": kubectl(), "PATH": f"{folder / 'bin'}:{os.environ['PATH']}"}
        self.env = os.environ | paths | {"POLL_S": "0.1", "START_S": "60"}

    def run(self, overlay: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run([SCRIPT, overlay], env=self.env, capture_output=True, text=True, timeout=60)

    @property
    def asked(self) -> str:
        return (self.folder / "asked").read_text()


def test_a_run_is_applied_followed_to_its_end_and_deleted(tmp_path: Path) -> None:
    cluster = Cluster(tmp_path, states=["", "Initializing", "Running", "Complete"], job_status="SUCCEEDED")
    done = cluster.run("cpu")
    assert (done.returncode, "step 1 reward 0.5" in done.stdout) == (0, True), done.stderr
    assert "kind: RayJob" in (tmp_path / "applied").read_text()
    assert cluster.asked.splitlines()[-1] == "--namespace r1ray delete rayjob r1ray"


@pytest.mark.parametrize(
    ("job_status", "message", "code"),
    [
        ("FAILED", "Job entrypoint command failed with exit code 2, last available logs: ...\nmore\n", 2),
        ("FAILED", "Job failed due to an application error.\n", 3),
        ("STOPPED", "", 143),
        ("", "spec.backoffLimit is wrong\n", 3),
    ],
)
def test_its_exit_code_is_that_of_the_run(tmp_path: Path, job_status: str, message: str, code: int) -> None:
    cluster = Cluster(tmp_path, states=["Failed"], job_status=job_status, message=message)
    done = cluster.run("one-gpu-node")
    assert done.returncode == code
    assert message.split("\n")[0] in done.stderr and "more" not in done.stderr
    assert "delete rayjob" in cluster.asked


def test_a_run_that_does_not_start_is_left_there_to_be_looked_at(tmp_path: Path) -> None:
    cluster = Cluster(tmp_path, states=["Initializing"])
    cluster.env["START_S"] = "1"
    done = cluster.run("1x8")
    assert done.returncode == 1
    assert "r1ray was not started within 1 s: it is 'Initializing'" in done.stderr
    assert "delete" not in cluster.asked


def test_ctrl_c_leaves_the_run_going(tmp_path: Path) -> None:
    cluster = Cluster(tmp_path, states=["Running"])
    (tmp_path / "endless").touch()
    process = subprocess.Popen(
        [SCRIPT, "cpu"],
        env=cluster.env,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
        # As from a terminal: where tests run in the background, it would be ignored.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    assert process.stdout is not None and process.stdout.readline() == b"step 1 reward 0.5\n"
    os.killpg(process.pid, signal.SIGINT)
    _, error = process.communicate(timeout=30)
    assert (process.returncode, b"r1ray goes on" in error) == (130, True)
    assert "delete" not in cluster.asked


def test_a_cluster_without_a_run_is_only_applied(tmp_path: Path) -> None:
    cluster = Cluster(tmp_path, states=[""])
    done = cluster.run("8x8-cluster")
    assert (done.returncode, "nothing to follow" in done.stderr) == (0, True)
    assert "logs" not in cluster.asked and "delete" not in cluster.asked


@pytest.mark.parametrize(
    ("gone", "says"),
    [
        ("ray.io", "no ray.io/RayJob: needs KubeRay"),
        ("policy/v1", "no policy/PodDisruptionBudget:"),
        ("", "needs a cluster that kubectl reaches"),
    ],
)
def test_what_the_cluster_has_no_kind_for_is_found_before_anything_is_applied(
    tmp_path: Path, gone: str, says: str
) -> None:
    cluster = Cluster(tmp_path, states=[""])
    (tmp_path / "kinds").write_text("".join(line for line in KINDS.splitlines(True) if gone not in line))
    done = cluster.run("8x8")
    assert (done.returncode, says in done.stderr) == (2, True), done.stderr
    assert not (tmp_path / "applied").exists()


def test_a_monitor_needs_the_operators_kind_and_no_other_overlay_does(tmp_path: Path) -> None:
    cluster = Cluster(tmp_path, states=["Complete"], job_status="SUCCEEDED")
    monitored = str(ROOT / "k8s" / "examples" / "my-run")
    done = cluster.run(monitored)
    assert done.returncode == 2 and "the cluster has no monitoring.coreos.com/PodMonitor: needs" in done.stderr
    (tmp_path / "kinds").write_text(f"{KINDS}podmonitors pmon monitoring.coreos.com/v1 true PodMonitor\n")
    assert cluster.run(monitored).returncode == 0


def test_a_manifest_that_the_cluster_refuses_ends_it_with_what_is_left_there(tmp_path: Path) -> None:
    cluster = Cluster(tmp_path, states=["Running"])
    (tmp_path / "refuses").touch()
    done = cluster.run("8x8")
    assert done.returncode == 1 and "not all of 8x8 was applied" in done.stderr
    assert "logs" not in cluster.asked and "delete" not in cluster.asked


def test_an_overlay_that_is_not_there_is_refused_with_those_that_are(tmp_path: Path) -> None:
    cluster = Cluster(tmp_path, states=[""])
    done = cluster.run("2x8")
    assert done.returncode == 2
    assert "2x8: no such overlay" in done.stderr and "1x1 1x8 8x8 8x8-cluster cpu one-gpu-node" in done.stderr
    assert not (tmp_path / "asked").exists()
