from __future__ import annotations

import json
from pathlib import Path

from r1ray.telemetry.metrics import MetricsFile


def test_one_object_a_step_and_counts_are_whole_numbers(tmp_path: Path) -> None:
    file = MetricsFile(tmp_path / "metrics.jsonl", stage="rl")
    file.append({"step": 1.0, "ledger/issued": 32.0, "reward/mean": 0.5})
    (line,) = (tmp_path / "metrics.jsonl").read_text().splitlines()
    assert '"step": 1,' in line and '"ledger/issued": 32,' in line
    assert json.loads(line)["stage"] == "rl"


def test_a_line_that_a_crash_cut_off_is_left_out(tmp_path: Path) -> None:
    file = MetricsFile(tmp_path / "metrics.jsonl", stage="rl")
    file.append({"step": 1.0})
    with file.path.open("a") as raw:
        raw.write('{"step": 2, "rew')
    assert [row["step"] for row in file.read()] == [1]


def test_a_resumed_run_forgets_what_it_will_write_again(tmp_path: Path) -> None:
    file = MetricsFile(tmp_path / "metrics.jsonl", stage="rl")
    for step in range(5):
        file.append({"step": float(step)})
    file.rewind(2)
    assert [row["step"] for row in file.read()] == [0, 1, 2]
    file.rewind(-1)
    assert file.read() == []
