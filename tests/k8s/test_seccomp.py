"""The bubblewrap component's seccomp profile, put on a user's process: the sandbox finds its strongest mode."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.k8s.manifests import K8S
from tests.sandbox.pod import REFUSED
from tests.tools import SYSTEM_PYTHON

PROFILE = K8S / "components" / "bubblewrap" / "r1ray-reward.json"
NAMESPACES = {"unshare", "mount", "umount2", "pivot_root"}
PROGRAM = """
import ctypes, errno, json, os, sys
import pyseccomp
from r1ray.sandbox.home import choose_mode
libc = ctypes.CDLL(None)
for capability in range(64):
    libc.prctl(24, capability, 0, 0, 0)  # PR_CAPBSET_DROP
os.setgroups([])
os.setresgid(1000, 1000, 1000)
os.setresuid(1000, 1000, 1000)
libc.prctl(38, 1, 0, 0, 0)  # PR_SET_NO_NEW_PRIVS: allowPrivilegeEscalation: false
profile = json.load(open(sys.argv[1]))
filters = pyseccomp.SyscallFilter(pyseccomp.ALLOW)
for rule in profile["syscalls"]:
    for name in rule["names"]:
        filters.add_rule(pyseccomp.ERRNO(rule["errnoRet"]), name)
filters.load()
print(choose_mode("auto"))
"""


def test_it_refuses_what_runtimes_refuse_but_for_namespaces() -> None:
    profile = json.loads(PROFILE.read_text())
    [rule] = profile["syscalls"]
    assert (profile["defaultAction"], rule["action"], rule["errnoRet"]) == ("SCMP_ACT_ALLOW", "SCMP_ACT_ERRNO", 1)
    assert set(REFUSED.split()) - set(rule["names"]) == NAMESPACES


@pytest.mark.needs("root", "system python", "bubblewrap")
def test_under_it_the_sandbox_takes_bubblewrap() -> None:
    folder = Path("/tmp") / f"r1ray-profile-{os.getpid()}"  # tmp_path lies in a folder that only its owner may enter
    try:
        shutil.copytree(K8S.parent / "r1ray", folder / "r1ray", ignore=shutil.ignore_patterns("__pycache__"))
        for module in ("landlockpy", "pyseccomp"):
            _copy(module, folder)
        shutil.copy(PROFILE, folder)
        for path in (folder, *folder.rglob("*")):
            path.chmod(0o755 if path.is_dir() else 0o644)
        done = subprocess.run(
            [SYSTEM_PYTHON, "-c", PROGRAM, str(folder / PROFILE.name)],
            cwd=folder,
            env={"PYTHONPATH": str(folder), "PATH": os.environ["PATH"]},
            capture_output=True,
            text=True,
            timeout=60,
        )
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    assert (done.returncode, done.stdout) == (0, "bubblewrap\n"), done.stderr


def _copy(module: str, folder: Path) -> None:
    import importlib

    path = Path(str(importlib.import_module(module).__file__))
    if path.name == "__init__.py":
        shutil.copytree(path.parent, folder / module)
    else:
        shutil.copy(path, folder)
