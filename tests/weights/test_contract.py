"""r1ray's half of vLLM's weight-transfer API fits each version of vLLM that may be installed (``contract.py``)."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from tests.test_locks import extras
from tests.test_resolution import OFFLINE, VLLMS

ROOT = Path(__file__).parents[2]


def check(tmp_path: Path, *path: Path) -> str:
    """Run the contract in a process with folders before this environment's packages. Return what it prints."""
    env = os.environ | {"PYTHONPATH": os.pathsep.join([*map(str, path), str(ROOT)]), "TMPDIR": str(tmp_path)}
    command = [sys.executable, "-m", "tests.weights.contract"]
    done = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-4000:]
    return done.stdout


@pytest.mark.real
def test_the_installed_vllm_keeps_the_contract(tmp_path: Path) -> None:
    assert "its contract is kept" in check(tmp_path)


@pytest.mark.long
@pytest.mark.parametrize("version", VLLMS)
def test_each_vllm_of_the_gpu_extra_keeps_the_contract(tmp_path: Path, version: str) -> None:
    """Its wheel's Python, without installing it: 340 MB that are read and deleted."""
    (extra,) = extras()["gpu"]
    assert Requirement(extra).specifier.contains(version)
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "download", "--quiet", "--no-deps"]
    platforms = [f"--platform=manylinux_2_{minor}_x86_64" for minor in (28, 31, 34, 35)]
    asked = [*pip, "--only-binary=:all:", *platforms, "--dest", str(tmp_path), f"vllm=={version}"]
    done = subprocess.run(asked, capture_output=True, text=True, timeout=900)
    if OFFLINE.search(done.stderr):
        pytest.skip("no package index can be reached")
    assert done.returncode == 0, done.stderr
    [wheel] = tmp_path.glob("vllm-*.whl")
    with zipfile.ZipFile(wheel) as file:
        file.extractall(tmp_path / "site", [name for name in file.namelist() if not name.endswith(".so")])
    wheel.unlink()
    assert check(tmp_path, tmp_path / "site").startswith(f"vllm {version} of {tmp_path}")
