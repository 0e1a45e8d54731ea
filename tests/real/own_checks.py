"""A user's own checks and rewards that read the columns of their rows, named by their paths."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from r1ray.types import Prompt, Response


def of_row(row: Mapping[str, Any], response: Response) -> float:
    """The level that the row has, whatever the response."""
    return float(row["level"])


def level(prompt: Prompt, response: Response) -> float:
    """The same, by the columns that travel with the prompt, and something that differs within a group."""
    level = prompt.columns["level"]
    assert isinstance(level, int)
    return level + 0.01 * (len(response.text) % 2)
