"""Reasons: an actor's error in a line."""

from __future__ import annotations

import re


def reason_of(error: BaseException) -> str:
    """Return a line of what a call of an engine raised, without the log that it carries; of vLLM's, of what a worker
    raised."""
    raised = getattr(error, "cause", None) or error
    lines = [line.strip() for line in str(raised).splitlines() if line.strip()]
    if not lines:
        return type(raised).__name__
    in_worker = re.search(r"Worker failed with error '(.*)', please check", lines[-1])
    return in_worker[1] if in_worker else lines[-1]
