from __future__ import annotations

import base64
import gzip
import json
from typing import Any

import pytest

from r1ray.page import sample
from r1ray.page.report import Runs, read_runs
from r1ray.page.sample import choose, pack
from tests.page.planted import plant


def unpacked(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in gzip.decompress(base64.b64decode(text)).splitlines()]


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Runs:
    return read_runs([plant(tmp_path_factory.mktemp("runs") / "one", num_steps=20, groups=2)])


def test_a_small_run_is_there_as_a_whole(runs: Runs) -> None:
    packed, num_packed = pack(choose(runs.index, runs.suspicions), runs.files, runs.suspicions, max_bytes=10**7)
    groups = unpacked(packed)
    assert num_packed == len(runs.index) == sum(len(group["trajectories"]) for group in groups)
    assert {group["step"] for group in groups} == set(range(1, 21))


def test_what_ready_filters_look_for_comes_first_and_then_all_steps_in_turn(
    runs: Runs, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sample, "MAX_NOTED", 2)
    monkeypatch.setattr(sample, "MAX_FILES", 5)
    places = choose(runs.index, runs.suspicions)
    marked = [[runs.suspicions[at] for at in place.at] for place in places]
    assert any(marked[0]) and any(marked[1])
    reasons = runs.index["dropped_reason"].to_pylist()
    assert [reasons[place.at[0]] for place in places[2:4]] == ["generation_failed"] * 2
    assert [runs.files[place.file].step for place in places[4:9]] == [1, 6, 11, 15, 20]


def test_the_sample_ends_where_the_file_is_full(runs: Runs) -> None:
    places = choose(runs.index, runs.suspicions)
    packed, num_packed = pack(places, runs.files, runs.suspicions, max_bytes=5_000)
    assert 0 < num_packed < len(runs.index)
    assert 4_000 < len(packed) <= 5_000


def test_tokens_are_there_until_their_number_is_reached(runs: Runs, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sample, "MAX_TOKENS", 200)
    packed, _ = pack(choose(runs.index, runs.suspicions), runs.files, runs.suspicions, max_bytes=10**7)
    segments = [part for group in unpacked(packed) for each in group["trajectories"] for part in each["segments"]]
    with_tokens = [segment for segment in segments if "differences" in segment]
    assert 0 < sum(len(segment["lengths"]) for segment in with_tokens) <= 200
    assert all(segment["text"] for segment in segments)
