"""Parts of the reward from the command that judges what an agent has left.

{"files": ...} put there, row.json beside --> judge, in the folder of the agent --> {"judge": 1.0 or 0.0}, or JSON
"""

from __future__ import annotations

import json
import math
from typing import TypeGuard

from r1ray.environments.agents.process import Ended
from r1ray.errors import EnvironmentFailed
from r1ray.reward.command import last_object
from r1ray.types import Prompt

PART = "judge"
ROW = "row.json"


def row_of(prompt: Prompt, task: str) -> bytes:
    """Return the row that a judge may read."""
    return json.dumps({"id": prompt.id, "prompt": task, **prompt.columns}, default=str).encode()


def parts_of(ended: Ended, printed: str, *, says_json: bool) -> dict[str, float]:
    """Return the parts of the reward: those of the last line that the judge printed, or 1 for its exit code 0 and 0
    for any other, and where its time was up.

    Args:
        printed: end of its output, for people.

    Raises EnvironmentFailed where it was to say JSON, and did not.
    """
    if not says_json:
        return {PART: float(ended.code == 0)}
    said = last_object(ended.output)
    numbers = {name: float(value) for name, value in said.items() if _is_number(value)}
    if not numbers or len(numbers) < len(said):
        how = "was ended" if ended.code is None else f"ended with code {ended.code}"
        raise EnvironmentFailed(
            f"the judge {how}, and its last line is no JSON object of numbers: {printed[-300:]}",
            "the judge said no JSON",
        )
    return numbers


def _is_number(value: object) -> TypeGuard[int | float]:
    return isinstance(value, int | float) and math.isfinite(value)
