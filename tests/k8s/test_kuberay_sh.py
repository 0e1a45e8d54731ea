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
apply*) cat > "$FOLDER/applied" ;;
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


class Cluster:
    """What the fake kubectl knows."""

    def __init__(self, folder: Path, *, states: list[str], job_status: str = "", message: str = "") -> None:
        self.folder = folder
        (folder / "bin").mkdir()
        fake = folder / "bin" / "kubectl"
        fake.write_text(FAKE)
        fake.chmod(0o755)
        (folder / "states").write_text("".join(f"{state}\n" for state in states))
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


def test_an_overlay_that_is_not_there_is_refused_with_those_that_are(tmp_path: Path) -> None:
    cluster = Cluster(tmp_path, states=[""])
    done = cluster.run("2x8")
    assert done.returncode == 2
    assert "2x8: no such overlay" in done.stderr and "1x1 1x8 8x8 8x8-cluster cpu one-gpu-node" in done.stderr
    assert not (tmp_path / "asked").exists()
