"""A judge that reports the reward written by a command of verifiers (``vf-eval ... -o out``) as the part ``verifiers``.

judge: [python, r1ray/environments/agents/verifiers_judge.py], judge_json: true
"""

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any


def rewards_in(folder: Path) -> list[float]:
    """Return the rewards of all scored traces below a folder."""
    lines = [line for path in folder.rglob("traces.jsonl") for line in path.read_text().splitlines() if line.strip()]
    return [_reward(trace) for line in lines for trace in json.loads(line)["traces"] if trace["rewards"]]


def _reward(trace: Mapping[str, Any]) -> float:
    scored = [each for each in trace["rewards"].values() if each]
    return float(sum(each["score"] * each["weight"] for each in scored))


if __name__ == "__main__":
    found = rewards_in(Path("out"))
    if not found:
        sys.exit("no trace with a reward is below out/")
    print(json.dumps({"verifiers": sum(found) / len(found)}))
