from __future__ import annotations

from pathlib import Path

from r1ray.page.configurations import differences
from tests.page.planted import plant


def test_keys_that_differ_are_listed_with_the_value_of_each_run(tmp_path: Path) -> None:
    runs = [plant(tmp_path / "a", num_steps=1), plant(tmp_path / "b", num_steps=1, clip_high=0.28, new=[1])]
    assert differences(runs) == [
        {"key": "algo.clip_high", "values": ["0.2", "0.28"]},
        {"key": "algo.new", "values": [None, "[1]"]},
    ]


def test_a_configuration_that_cannot_be_read_is_empty(tmp_path: Path) -> None:
    runs = [plant(tmp_path / "a", num_steps=1), plant(tmp_path / "b", num_steps=1)]
    (runs[1] / "config.yaml").write_text("a: [")
    assert {row["values"][1] for row in differences(runs)} == {None}
