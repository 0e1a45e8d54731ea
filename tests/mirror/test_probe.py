from __future__ import annotations

from pathlib import Path

import pytest

from r1ray.doctor.object_store import check_object_store
from r1ray.mirror.probe import probe
from r1ray.mirror.store import Store, StoreFailed, Tag

pytestmark = pytest.mark.needs("weed")


def test_a_bucket_that_can_be_used_is_green_and_is_left_as_it_was(address: str, tmp_path: Path) -> None:
    found = check_object_store(address, tmp_path / "scratch" / "runs")
    assert [each.status for each in found] == ["green", "green"]
    assert Store(address).keys("") == [] and not (tmp_path / "scratch").exists()


def test_a_bucket_that_is_not_there_is_red(s3: object, tmp_path: Path) -> None:
    found = check_object_store("s3://nobucket/runs", tmp_path)
    assert [each.status for each in found] == ["red", "green"]
    assert "s3://nobucket/runs/.r1ray-doctor-" in found[0].found and "credentials" in found[0].advice


class Careless(Store):
    """Ignores conditions, as some stores do."""

    def create(self, key: str, content: bytes) -> Tag:
        self.put(key, content)
        return {}


def test_a_store_that_ignores_conditions_is_refused(address: str) -> None:
    with pytest.raises(StoreFailed, match=r"though it must not be \(If-None-Match\)"):
        probe(Careless(address))
    assert Store(address).keys("") == []
