"""Variables that travel with a job: in the environment of its processes, and nowhere that others read."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from r1ray.runtime.job_environment import FILE, KEPT, MODULE, write_package

SHOWN = """
import json, os, sys
{first}
print(json.dumps({{name: os.environ.get(name) for name in ("TOKEN", "THREADS")}}))
"""


def environment_of(first: str, *, path: Path, **env: str) -> dict[str, str | None]:
    """What a process has in its environment that imports so, with the package of a job on its path."""
    variables = os.environ | {"PYTHONPATH": os.pathsep.join([str(path), os.getcwd()])} | env
    command = [sys.executable, "-c", SHOWN.format(first=first)]
    done = subprocess.run(command, env=variables, capture_output=True, text=True, timeout=60, check=True)
    found: dict[str, str | None] = json.loads(done.stdout)
    return found


def test_an_actor_has_the_variables_before_anything_else_is_imported(tmp_path: Path) -> None:
    write_package(tmp_path, {"TOKEN": "from the job", "THREADS": "8"})
    first = "import r1ray.cluster; assert 'ray' not in sys.modules"
    assert environment_of(first, path=tmp_path, TOKEN="of the node") == {"TOKEN": "from the job", "THREADS": "8"}
    kept = environment_of(first, path=tmp_path, THREADS="1", **{KEPT: "THREADS,OTHER"})
    assert kept == {"TOKEN": "from the job", "THREADS": "1"}, "what r1ray sets for an actor stays"
    assert environment_of(first, path=Path("/nonexistent"), TOKEN="a") == {"TOKEN": "a", "THREADS": None}


def test_the_command_line_has_them_too(tmp_path: Path) -> None:
    write_package(tmp_path, {"TOKEN": "from the job"})
    first = """
sys.argv[1:] = ["--version"]
try:
    from r1ray.main import entrypoint

    sys.stdout = sys.stderr
    entrypoint()
except SystemExit:
    sys.stdout = sys.__stdout__
"""
    assert environment_of(first, path=tmp_path)["TOKEN"] == "from the job"


def test_a_package_is_for_its_owner_alone_and_its_name_tells_nothing(tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    one, other = (write_package(folder, {"TOKEN": "a"}) for folder in (tmp_path, tmp_path / "other"))
    assert one.name == MODULE and (one / FILE).stat().st_mode & 0o777 == 0o600
    assert (one / FILE).read_text() != (other / FILE).read_text(), "Ray names it by a digest of this"
