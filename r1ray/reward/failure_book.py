"""Reports of failures of reward functions and environments: each kind once, with its traceback and response."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable

from r1ray.errors import PartFailure
from r1ray.types import Outcome, Unscorable

logger = logging.getLogger(__name__)
BECOMES = {
    "auto": "the part is 0 there",
    "stop": "that ends the run",
    "zero": "the part is 0 there",
    "mask": "the response is left out",
}
"""Consequence of each ``on_error`` for a response."""


class FailureBook:
    """Counts failures by part and kind and shows the first of each kind."""

    def __init__(self, refuse: Callable[[PartFailure, str], None] = lambda failure, prompt_id: None) -> None:
        """``refuse`` gets a failure and the id of its prompt, and raises if the failure ends the run at once."""
        self._refuse = refuse
        self._counts: Counter[tuple[str, str]] = Counter()

    def note(self, failure: PartFailure, prompt_id: str) -> None:
        """Count a failure on a response to a prompt."""
        self._refuse(failure, prompt_id)
        key = failure.part, failure.kind
        self._counts[key] += 1
        if self._counts[key] == 1:
            becomes = BECOMES["mask" if failure.ended_worker and failure.on_error != "stop" else failure.on_error]
            logger.warning("%s; %s. This kind is shown once.\n%s", headline(failure, prompt_id), becomes, body(failure))

    def count(self, part: str, kind: str) -> int:
        """Return how often a part has failed in this way so far."""
        return self._counts[part, kind]


def failures_of(outcome: Outcome) -> tuple[PartFailure, ...]:
    """Return the failures of parts on one response."""
    return () if isinstance(outcome, Unscorable) else outcome.failures


def headline(failure: PartFailure, prompt_id: str) -> str:
    """Return a line that says which part failed on which prompt."""
    return f"{failure} on prompt {prompt_id}"


def body(failure: PartFailure) -> str:
    """Return the traceback, if there is one, and the response."""
    response = f"The response was:\n{failure.response}" if failure.response else ""
    return f"{failure.traceback}{response}"
