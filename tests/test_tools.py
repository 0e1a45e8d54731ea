"""Tests of what skips tests: tools that are missing or do not work, and a machine that is too busy to judge."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from r1ray.errors import MachineTooBusy
from r1ray.sandbox import languages
from r1ray.sandbox.languages import LANGUAGES
from tests import tools
from tests.conftest import TRIES, patient

ROOT = Path(__file__).parents[1]


def test_a_missing_tool_is_named_with_its_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(languages, "PATH", "/nonexistent")
    monkeypatch.setattr(tools, "path_of", lambda program: None)
    assert tools.problem("python") == ""
    for name in {*LANGUAGES} - {"python"}:
        assert LANGUAGES[name].package in tools.problem(name)
    for name, package in tools.PROGRAMS.items():
        assert tools.problem(name) == f"{name} is not installed: needs {package}"
    with pytest.raises(pytest.skip.Exception, match=r"g\+\+ is not installed: needs the Debian package g\+\+"):
        tools.require("python", "cpp")


def test_a_tool_that_does_not_work_is_missing_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    (tmp_path / "redis-server").write_text("#!/bin/sh\nexit 3\n")
    (tmp_path / "redis-server").chmod(0o755)
    assert "redis-server is installed and does not work" in tools.problem("redis-server")
    (tmp_path / "redis-server").write_text("#!/bin/sh\n")
    tools._problem_of_path.cache_clear()
    assert tools.problem("redis-server") == ""


def test_hidden_tools_are_found_by_nobody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # All of it is put back after the test.
    monkeypatch.setenv("PATH", os.environ["PATH"])
    monkeypatch.setattr(languages, "PATH", languages.PATH)
    monkeypatch.setattr(tools, "_environment_path", tools._environment_path)
    tools.hide(tmp_path)
    for name in tools.hidden():
        assert shutil.which(name) is None
        assert subprocess.run(["sh", "-c", f"command -v {name}"], capture_output=True).returncode != 0
    wanted = {*LANGUAGES, *tools.PROGRAMS, "bubblewrap"} - {"python"}
    assert all("is not installed" in tools.problem(name) for name in wanted)
    assert shutil.which("sh") and shutil.which("sleep")


MARKED = """
import pytest

@pytest.fixture
def made():
    print("a fixture was made")

@pytest.mark.needs("redis-server")
def test_it(made):
    pass
"""


def test_a_marked_test_skips_before_its_fixtures_are_made(tmp_path: Path) -> None:
    (tmp_path / "test_marked.py").write_text(MARKED)
    command = [sys.executable, "-m", "pytest", "--hide-tools", "-p", "tests.conftest", "-c", ROOT / "pyproject.toml"]
    done = subprocess.run([*command, "-s", tmp_path], cwd=ROOT, capture_output=True, text=True, check=False)
    assert "redis-server is not installed: needs the Debian package redis-server" in done.stdout
    assert "1 skipped" in done.stdout and "a fixture was made" not in done.stdout


def test_a_machine_that_is_too_busy_is_asked_again_and_then_skips() -> None:
    calls: list[int] = []

    def test(*, good: int) -> None:
        calls.append(1)
        if len(calls) != good:
            raise MachineTooBusy("busy")

    patient(test)(good=2)
    assert len(calls) == 2
    with pytest.raises(pytest.skip.Exception, match=f"{TRIES} times: busy"):
        patient(test)(good=0)
    assert len(calls) == 2 + TRIES


def test_whatever_looks_for_a_tool_does_it_by_the_one_helper() -> None:
    """CUDA devices are no tools: tests/gpu says by itself what it needs."""
    words = ("shutil" + ".which", "skipif(os.gete" + "uid", "skipif(boo" + "l(")
    folder = ROOT / "tests"
    others = {folder / "tools.py", folder / "test_tools.py", *(folder / "gpu").rglob("*.py")}
    files = [path for path in folder.rglob("*.py") if path not in others]
    assert [(path.name, word) for path in files for word in words if word in path.read_text()] == []
