"""What pyproject.toml asks for resolves: on each Python to the same locks, and with each vLLM of the GPU extra. Package
metadata alone is read, from an index; nothing of the stack is downloaded or installed."""

from __future__ import annotations

import re
import subprocess
import sys
from fnmatch import fnmatch
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

from tests.test_locks import ONLY_GPU, ROOT, extras, lines, lock

OFFLINE = re.compile(
    r"NewConnectionError|NameResolutionError|ConnectTimeout|dns error|Could not connect|tcp connect error"
)
"""How pip and uv say that no index can be reached."""
PYTHONS = ("3.11", "3.12", "3.13")
VLLMS = {"0.32.0": ("2.13.0", "5.19.0"), "0.33.0": ("2.14.0", "5.20.2")}
"""The releases that the GPU extra takes, with torch and the newest transformers that go with each."""


@pytest.fixture(scope="module")
def uv(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, ...]:
    """The command that resolves as ``launch/lock-gpu.sh`` does, with the same uv and releases until the same day."""
    script = (ROOT / "launch" / "lock-gpu.sh").read_text()
    wanted, newest = re.search(r"uv==[\d.]+", script), re.search(r"^newest=(\S+)", script, re.MULTILINE)
    assert wanted and newest
    folder = tmp_path_factory.mktemp("uv")
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "install", "--quiet", "--target", str(folder)]
    done = subprocess.run([*pip, wanted[0]], capture_output=True, text=True, timeout=120)
    if OFFLINE.search(done.stderr):
        pytest.skip("no package index can be reached")
    assert done.returncode == 0, done.stderr
    own = ("--no-config", "--quiet", "--no-header", "--no-annotate", "--exclude-newer", newest[1])
    sources = ("--no-binary", "antlr4-python3-runtime", "--no-binary", "deepspeed")
    platform = ("--python-platform", "x86_64-manylinux_2_31", "--only-binary", ":all:", *sources)
    return (str(folder / "bin" / "uv"), "pip", "compile", *own, *platform, str(ROOT / "pyproject.toml"))


def resolve(uv: tuple[str, ...], python: str, *options: str) -> dict[str, Version]:
    done = subprocess.run([*uv, "--python-version", python, *options], capture_output=True, text=True, timeout=300)
    if OFFLINE.search(done.stderr):
        pytest.skip("no package index can be reached")
    assert done.returncode == 0, done.stderr
    pins = (line.split("==") for line in done.stdout.split())
    return {canonicalize_name(name): Version(version) for name, version in pins}


@pytest.mark.long
@pytest.mark.parametrize("python", PYTHONS)
def test_the_lock_for_cuda_is_what_each_python_resolves_to(uv: tuple[str, ...], python: str) -> None:
    pins = ("--constraints", str(ROOT / "launch" / "requirements-gpu.txt"))
    assert resolve(uv, python, "--extra=gpu", "--extra=dev", *pins) == lock("gpu")


@pytest.mark.long
@pytest.mark.parametrize("python", PYTHONS)
def test_the_lock_for_cpus_is_what_each_python_resolves_to_beside_the_libraries_of_a_cuda_torch(
    uv: tuple[str, ...], python: str, tmp_path: Path
) -> None:
    """PyPI has torch for CUDA alone; PyTorch's own index has the build for CPUs."""
    constraints, overrides = tmp_path / "constraints.txt", tmp_path / "overrides.txt"
    constraints.write_text("\n".join(line.removesuffix("+cpu") for line in lines("cpu")))
    overrides.write_text(f"torch=={lock('cpu')['torch'].public}")
    pins = ("--constraints", str(constraints), "--overrides", str(overrides))
    found = resolve(uv, python, "--extra=cpu", "--extra=dev", *pins)
    locked = {name: Version(version.public) for name, version in lock("cpu").items()}
    assert {name: version for name, version in found.items() if name in locked} == locked
    assert [each for each in found.keys() - locked if not any(fnmatch(each, pattern) for pattern in ONLY_GPU)] == []


@pytest.mark.long
@pytest.mark.parametrize("python", PYTHONS)
@pytest.mark.parametrize("version", VLLMS)
def test_the_gpu_extra_takes_this_vllm(uv: tuple[str, ...], python: str, version: str, tmp_path: Path) -> None:
    constraints = tmp_path / "constraints.txt"
    constraints.write_text(f"vllm=={version}")
    found = resolve(uv, python, "--extra=gpu", "--constraints", str(constraints))
    assert (str(found["vllm"]), str(found["torch"]), str(found["transformers"])) == (version, *VLLMS[version])


def test_the_gpu_extra_takes_these_vllms_and_no_newer_one() -> None:
    (extra,) = extras()["gpu"]
    takes = Requirement(extra).specifier
    assert all(takes.contains(version) for version in VLLMS)
    assert not takes.contains("0.31.9") and not takes.contains("0.34.0")
    assert str(lock("gpu")["vllm"]) in VLLMS
