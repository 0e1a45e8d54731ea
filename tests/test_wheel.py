"""The wheel, built and unpacked elsewhere."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

from tests.real.running import environment


def test_the_wheel_runs_without_the_checkout(tmp_path: Path) -> None:
    """Built, unpacked elsewhere, and asked from another folder: conf/, k8s/, launch/ and the vLLM plugin travel with
    it."""
    root = Path(__file__).parents[1]
    source = tmp_path / "source"
    shutil.copytree(
        root, source, ignore=shutil.ignore_patterns(".venv", ".git", "runs", "tests", "*.egg-info", ".*_cache", "build")
    )
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet"]
    build = [*pip, "wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", str(tmp_path), str(source)]
    subprocess.run(build, check=True, timeout=120, capture_output=True)
    (wheel,) = tmp_path.glob("*.whl")
    unpacked = tmp_path / "site"
    subprocess.run([*pip, "install", "--no-deps", "--target", str(unpacked), str(wheel)], check=True, timeout=120)
    shutil.rmtree(source)
    program = (
        "import importlib.metadata as md; from r1ray.commands.compose import compose;"
        "from r1ray.config.folder import config_folder;"
        "assert config_folder().parent.name == 'r1ray' and 'site' in str(config_folder()), config_folder();"
        "assert compose(['experiment=quickstart', 'algo=deepseekmath', 'steps=7']).steps == 7;"
        "names = [e.value for e in md.distribution('r1ray').entry_points if e.group == 'vllm.general_plugins'];"
        "assert names == ['r1ray.weights.plugin:register'], names;"
        "from r1ray.page.document import HERE, sources; assert 'site' in str(HERE) and all(sources());"
        "print('fine')"
    )
    env = environment(PYTHONPATH=str(unpacked))
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=tmp_path, env=env, capture_output=True, text=True, check=False, timeout=60
    )
    assert done.stdout.strip() == "fine", done.stderr
    for name in ("k8s", "launch"):
        command = [sys.executable, "-m", "r1ray", "files", name, "copied"]
        subprocess.run(command, cwd=tmp_path, env=env, check=True, timeout=60)
        assert modes(tmp_path / "copied" / name) == modes(root / name)


def modes(folder: Path) -> dict[str, tuple[bytes, bool]]:
    """Return the files below a folder: their bytes, and if they can be executed."""
    files = [path for path in folder.rglob("*") if path.is_file()]
    return {str(path.relative_to(folder)): (path.read_bytes(), os.access(path, os.X_OK)) for path in files}
