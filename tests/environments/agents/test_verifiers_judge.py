from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from r1ray.environments.agents import verifiers_judge


def written(folder: Path, *traces: dict[str, Any]) -> None:
    run = folder / "out/some-taskset--policy"
    run.mkdir(parents=True, exist_ok=True)
    with (run / "traces.jsonl").open("a") as file:
        file.writelines(json.dumps({"traces": [trace]}) + "\n" for trace in traces)


def judged(folder: Path) -> subprocess.CompletedProcess[str]:
    words = [sys.executable, "-S", str(Path(verifiers_judge.__file__).resolve())]
    return subprocess.run(words, cwd=folder, capture_output=True, text=True, timeout=60)


def test_rewards_are_weighted_and_those_of_several_traces_averaged(tmp_path: Path) -> None:
    written(tmp_path, {"rewards": {"right": {"score": 1.0, "weight": 2.0}, "short": {"score": 0.5, "weight": 1.0}}})
    written(tmp_path, {"rewards": {"right": {"score": 0.0, "weight": 2.0}, "short": None}}, {"rewards": {}})
    assert json.loads(judged(tmp_path).stdout) == {"verifiers": 1.25}


def test_a_command_that_has_scored_nothing_is_worth_no_number(tmp_path: Path) -> None:
    assert judged(tmp_path).returncode == 1 and "no trace with a reward" in judged(tmp_path).stderr
    written(tmp_path, {"rewards": {}})
    assert judged(tmp_path).stdout == ""
