"""Killing an actor with all of its processes, on its node: those of an engine may be stopped, or outlive it."""

from __future__ import annotations

from r1ray.runtime.leftovers import kill_with

MARK = "R1RAY_ACTOR"
"""The environment variable that an actor's processes have in common, and no others."""


def kill_marked(mark: str) -> int:
    """Kill the processes of this node that have a mark, but for this one. Returns how many."""
    return kill_with(MARK, mark)
