from __future__ import annotations

from pathlib import Path

import pytest

from r1ray.errors import UserError
from r1ray.mirror import address
from r1ray.mirror.address import local_folder, require_disk

MOUNTS = """\
/dev/sda1 / ext4 rw 0 0
tmpfs {memory} tmpfs rw 0 0
/dev/sdb1 {memory}/a\\040disk ext4 rw 0 0
"""


def test_every_address_has_a_folder_of_its_own(tmp_path: Path) -> None:
    addresses = ("s3://bucket/runs", "gs://bucket/runs", "s3://other/runs", "s3://bucket/runs/more", "s3://bucket")
    assert len({local_folder(each, str(tmp_path)) for each in addresses}) == len(addresses)
    assert local_folder("s3://bucket/runs/", str(tmp_path)) == tmp_path / "s3" / "bucket" / "runs"
    assert local_folder("s3://bucket/runs", None).is_relative_to(address.default_scratch())


def test_a_disk_is_told_from_memory_and_from_what_is_full(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mounts = MOUNTS.format(memory=tmp_path).split("\n")
    monkeypatch.setattr(Path, "read_text", lambda path: "\n".join(mounts))
    require_disk(tmp_path / "a disk" / "runs", "s3://bucket/runs")
    with pytest.raises(
        UserError, match=rf"copied from {tmp_path}/runs, which is in memory \(tmpfs\); needs cluster.scr"
    ):
        require_disk(tmp_path / "runs", "s3://bucket/runs")
    monkeypatch.setattr(address, "LEAST_BYTES", 1 << 60)
    with pytest.raises(UserError, match=r"cannot hold a run: .* bytes are free, needs .*; needs cluster.scratch_dir"):
        require_disk(tmp_path / "a disk" / "runs", "s3://bucket/runs")
