"""Reward parts of this task, named by dotted path in ``conf/experiment/quickstart.yaml``.

``well_formed`` is the format rule that accepts an empty ``<think></think>``, so that the format reward alone never
favours length. The others are shares of answer styles, with weight 0, which show why the length grows.
"""

from __future__ import annotations

from r1ray.reward.format import sections
from r1ray.types import Prompt, Response


def well_formed(prompt: Prompt, response: Response) -> float:
    """Return 1 if the output is finished and is exactly ``<think>..</think><answer>..</answer>``, empty reasoning
    included."""
    return float(response.finished and sections(response.text) is not None)


def direct(prompt: Prompt, response: Response) -> float:
    """Return 1 if no step is written down."""
    return float("=" not in response.text)


def worked(prompt: Prompt, response: Response) -> float:
    """Return 1 if steps are written down, once."""
    return float("=" in response.text and "check" not in response.text)


def check(prompt: Prompt, response: Response) -> float:
    """Return 1 if the solution is worked out a second time."""
    return float("=" in response.text and "check" in response.text)


def wait(prompt: Prompt, response: Response) -> float:
    """Return 1 if a step is corrected."""
    return float("wait" in response.text)
