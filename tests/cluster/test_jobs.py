"""What is decided about jobs without a cluster; the rest is in tests/real/test_cluster.py."""

from __future__ import annotations

import socket
import zipfile
from pathlib import Path

import pytest
from ray._private.runtime_env.packaging import create_package
from ray.job_submission import JobStatus

from r1ray.cluster import jobs
from r1ray.cluster.jobs import EXCLUDES, Job, Jobs, check_size, exit_code
from r1ray.errors import UserError


@pytest.mark.parametrize(
    ("status", "of_run", "code"),
    [
        ("SUCCEEDED", 0, 0),
        ("FAILED", 2, 2),
        ("FAILED", 130, 130),
        ("FAILED", -9, 137),  # the run was killed
        ("FAILED", None, 3),  # it never started, or its node is gone
        ("STOPPED", None, 143),
    ],
)
def test_the_exit_code_is_that_of_the_run(status: str, of_run: int | None, code: int) -> None:
    job = Job(id="r1ray-a", status=JobStatus(status), settings="", message="", exit_code=of_run, start_ms=0)
    assert exit_code(job) == code


def sparse(path: Path, *, mebibytes: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as file:
        file.truncate(mebibytes * 2**20)


def test_a_working_directory_that_is_too_big_is_refused_by_its_largest_files(tmp_path: Path) -> None:
    sparse(tmp_path / "data" / "rows.parquet", mebibytes=300)
    (tmp_path / "code.py").touch()
    with pytest.raises(UserError, match=r"has 300 MiB, more than 256; the largest: data/rows.parquet \(300 MiB\)"):
        check_size(tmp_path, EXCLUDES)


def test_what_git_and_the_excludes_leave_out_does_not_count(tmp_path: Path) -> None:
    left_out = ["runs/a/metrics.jsonl", ".venv/lib.so", ".git/pack", "x/checkpoints/1/state", "m/model.safetensors"]
    for path in [*left_out, "data/rows.parquet"]:
        sparse(tmp_path / path, mebibytes=300)
    (tmp_path / ".gitignore").write_text("data/\n")
    check_size(tmp_path, EXCLUDES)


def test_what_rayignore_names_stays(tmp_path: Path) -> None:
    """Also where a .gitignore would have it travel, and the files of secrets in any case."""
    for path in ("data/rows.parquet", "big.bin", "kept/a.py", "kept/.env"):
        sparse(tmp_path / path, mebibytes=300 if "kept" not in path else 1)
    (tmp_path / ".gitignore").write_text("!data/\n")
    (tmp_path / ".rayignore").write_text("# large\n/data\n*.bin\n")
    check_size(tmp_path, EXCLUDES)
    package = tmp_path.parent / f"{tmp_path.name}.zip"
    create_package(str(tmp_path), package, include_gitignore=True, excludes=list(EXCLUDES))
    names = {name for name in zipfile.ZipFile(package).namelist() if not name.endswith("/")}
    assert names == {".gitignore", ".rayignore", "kept/a.py"}
    (tmp_path / ".rayignore").unlink()
    with pytest.raises(UserError, match=r"has 60\d MiB"):
        check_size(tmp_path, EXCLUDES)


@pytest.mark.parametrize("name", ["RAY_ADDRESS", "RAY_API_SERVER_ADDRESS"])
def test_the_address_is_that_of_a_job_server(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    for each in ("RAY_ADDRESS", "RAY_API_SERVER_ADDRESS"):
        monkeypatch.delenv(each, raising=False)
    with pytest.raises(UserError, match="--address=None: needs the job server of a Ray cluster"):
        Jobs()
    monkeypatch.setenv(name, "10.0.0.1:6379")
    with pytest.raises(UserError, match=r"--address=10.0.0.1:6379: needs the job server"):
        Jobs()
    monkeypatch.setenv(name, "http://127.0.0.1:1")
    with pytest.raises(UserError, match=r"--address=http://127.0.0.1:1: no job server answers there"):
        Jobs()
    monkeypatch.setenv(name, "http://127.0.0.1:1")
    with pytest.raises(UserError, match=r"--address=http://127.0.0.1:2: no job server"):
        Jobs("http://127.0.0.1:2")  # what is given decides


def test_a_server_that_does_not_answer_is_not_waited_for_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jobs, "REQUEST_S", (1.0, 0.2))
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"http://127.0.0.1:{server.getsockname()[1]}"
        with pytest.raises(UserError, match=r"no job server answers there: .*timed out"):
            Jobs(address)
