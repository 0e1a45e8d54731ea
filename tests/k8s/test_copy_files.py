"""k8s/image/copy-files: to and from folders, from a hub, and what it says of what it cannot copy. (To and from an
object store it goes by pyarrow's file systems, as here.)
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.data.hub_server import Hub, serving
from tests.k8s.manifests import K8S, of_kind, render

PROGRAM = K8S / "image" / "copy-files"


def copy(*addresses: object, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, PROGRAM, *map(str, addresses)],
        env=os.environ | environment,
        capture_output=True,
        text=True,
        timeout=60,
    )


def content(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_folders_and_files_arrive_whole_and_again_where_they_changed(tmp_path: Path) -> None:
    source = tmp_path / "a model"
    (source / "nested" / "deeper").mkdir(parents=True)
    (source / "config.json").write_text("{}")
    (source / "nested" / "deeper" / "weights.safetensors").write_bytes(bytes(range(256)) * 5000)
    done = copy(source, tmp_path / "storage" / "models" / "m", source / "config.json", tmp_path / "one" / "c.json")
    assert (done.returncode, done.stderr) == (0, "")
    assert "2 files, 0.001 GB" in done.stdout
    assert content(tmp_path / "storage" / "models" / "m") == content(source)
    assert (tmp_path / "one" / "c.json").read_text() == "{}"
    (source / "config.json").write_text("[]")
    assert copy(source, tmp_path / "storage" / "models" / "m").returncode == 0
    assert content(tmp_path / "storage" / "models" / "m") == content(source)


def test_a_model_comes_from_the_hub_at_its_revision(tmp_path: Path) -> None:
    files = {"config.json": b"{}", "model.safetensors": b"new"}
    hub = Hub({"main": files, "v1": files | {"model.safetensors": b"old"}}, kind="models")
    with serving(hub):
        known = {"HF_ENDPOINT": hub.address, "HF_HOME": str(tmp_path / "cache"), "HF_HUB_DISABLE_XET": "1"}
        done = copy("hf://acme/sums@v1", tmp_path / "m", "hf://acme/sums", tmp_path / "new", **known)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "m" / "model.safetensors").read_bytes() == b"old"
    assert (tmp_path / "new" / "model.safetensors").read_bytes() == b"new"
    assert "2 files" in done.stdout


@pytest.mark.parametrize(
    ("addresses", "says"),
    [
        (("/nowhere/model", "/tmp/r1ray-never"), "/nowhere/model -> /tmp/r1ray-never: there is no such file or folder"),
        (("/nowhere",), "1 addresses; needs pairs: FROM TO"),
        ((), "0 addresses"),
        (("hf://a/b", "s3://bucket/m"), "needs a path on the volume"),
        (("s3://bucket/m", "hf://a/b"), "needs a folder on the volume"),
        (("ftp://host/m", "/tmp/r1ray-never"), "ftp://host/m"),
    ],
)
def test_what_cannot_be_copied_is_refused_in_a_sentence(addresses: tuple[str, ...], says: str) -> None:
    done = copy(*addresses)
    assert done.returncode == 2
    assert says in done.stderr and "Traceback" not in done.stderr
    assert not Path("/tmp/r1ray-never").exists()


def test_a_disk_that_cannot_be_written_to_ends_it_with_another_code(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    done = copy(tmp_path / "file", tmp_path / "file" / "inside")
    assert done.returncode == 1 and "Traceback" not in done.stderr, done.stderr


@pytest.mark.parametrize("name", ["bring", "send"])
def test_the_jobs_copy_between_the_volume_and_elsewhere(name: str) -> None:
    objects = render(K8S / "jobs" / name)
    [job] = of_kind(objects, "Job")
    [container] = job["spec"]["template"]["spec"]["containers"]
    assert job["metadata"]["name"] == f"r1ray-{name}" and container["command"] == ["copy-files"]
    args = container["args"]
    pairs = list(zip(args[::2], args[1::2], strict=True))
    for source, target in pairs:
        inside, outside = (target, source) if name == "bring" else (source, target)
        assert inside.startswith("/storage/") and "://" in outside
    assert {"name": "storage", "mountPath": "/storage"} in container["volumeMounts"]
    [claim] = of_kind(objects, "PersistentVolumeClaim")
    volume = {"name": "storage", "persistentVolumeClaim": {"claimName": claim["metadata"]["name"]}}
    assert volume in job["spec"]["template"]["spec"]["volumes"]
    assert job["metadata"]["namespace"] == claim["metadata"]["namespace"] == "r1ray"
    assert "registry.example.com/r1ray" in json.dumps(job)
