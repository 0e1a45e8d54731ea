"""A user's own reward function, named by its path: one that an untrained model earns half of the time."""

from __future__ import annotations

from r1ray.types import Prompt, Response


def even(prompt: Prompt, response: Response) -> float:
    """1 where the text has an even number of characters."""
    return float(len(response.text) % 2 == 0)
