from __future__ import annotations

import os
from pathlib import Path

import pytest

from r1ray.cluster.host import import_path


def test_actors_import_from_where_the_command_was_given(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", f"a{os.pathsep}b")
    assert import_path() == {"PYTHONPATH": os.pathsep.join([str(tmp_path), "a", "b"])}
    monkeypatch.delenv("PYTHONPATH")
    assert import_path() == {"PYTHONPATH": str(tmp_path)}
