"""launch/sbom.sh: the licence of every package that is installed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from packaging.utils import canonicalize_name

from tests.test_locks import ROOT
from tests.test_resolution import OFFLINE

LAUNCH = ROOT / "launch"
ROWS = [line.split("\t") for line in (LAUNCH / "licences.tsv").read_text().splitlines() if not line.startswith("#")]


def fill(folder: Path, *components: dict[str, object]) -> tuple[int, str, list[dict[str, object]]]:
    (folder / "in.json").write_text(json.dumps({"components": components}))
    command = [sys.executable, LAUNCH / "fill_licences.py", LAUNCH / "licences.tsv", "in.json", "out.json"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=30)
    return done.returncode, done.stderr, json.loads((folder / "out.json").read_text())["components"]


def test_the_table_names_each_package_once_with_where_its_licence_is_said() -> None:
    names = [canonicalize_name(name) for name, _, _ in ROWS]
    assert names == sorted(set(names)) == [name for name, _, _ in ROWS]
    assert all(expression and " " not in expression and source for _, expression, source in ROWS)


def test_a_missing_licence_is_filled_in_and_one_that_is_there_stays(tmp_path: Path) -> None:
    said = [{"license": {"id": "MIT"}}]
    code, _, (ray, named) = fill(tmp_path, {"name": "Ray"}, {"name": "deepspeed", "licenses": said})
    assert (code, named["licenses"]) == (0, said)
    assert ray["licenses"] == [{"expression": "Apache-2.0", "acknowledgement": "concluded"}]


def test_a_licence_that_nobody_knows_is_named_and_is_an_error(tmp_path: Path) -> None:
    code, said, (unknown,) = fill(tmp_path, {"name": "un_known", "version": "1.2"})
    assert code == 1 and "un_known 1.2: add it to" in said and "licenses" not in unknown


@pytest.mark.long
def test_every_package_of_this_environment_has_a_licence(tmp_path: Path) -> None:
    command = [LAUNCH / "sbom.sh", Path(sys.executable).parents[1], tmp_path / "sbom.json"]
    env = os.environ | {"PYTHON": sys.executable}
    done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=300)
    if OFFLINE.search(done.stderr):
        pytest.skip("no package index can be reached")
    assert done.returncode == 0, done.stderr
    found = json.loads((tmp_path / "sbom.json").read_text())["components"]
    concluded = {
        canonicalize_name(each["name"]) for each in found if each["licenses"][0].get("acknowledgement") == "concluded"
    }
    assert concluded <= {name for name, _, _ in ROWS} and {"ray", "r1ray"} <= {each["name"] for each in found}
