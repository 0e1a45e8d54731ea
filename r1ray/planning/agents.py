"""Agents that others wrote, as far as the configuration names them: rows may name others."""

from __future__ import annotations

import math
import shlex
from collections.abc import Iterator

from r1ray.config import RunConfig
from r1ray.planning.plan import gib

MIB = 2.0**20


def commands_of(config: RunConfig) -> dict[str, list[str]]:
    """Return the command of each agent among the environments that keys name; none where nothing is sampled."""
    if config.only_learner:
        return {}
    names = [config.data.environment] if config.data.environment else list(config.environment.worlds)
    found = {name: config.environment.command_of(name) for name in names}
    return {name: list(map(str, command)) for name, command in found.items() if command is not None}


def agent_lines(config: RunConfig) -> Iterator[str]:
    """Say what the agents under way take, at most, on one environment worker's node."""
    limits, num_workers = config.environment.agents, config.environment.num_actors
    together = math.ceil(config.most_trajectories / num_workers)
    at_once = together if limits.at_once is None else min(together, limits.at_once)
    for command in commands_of(config).values():
        yield (
            f"an agent in each trajectory: {shlex.join(command)}; up to {at_once:,} at a time on each of {num_workers} "
            f"environment workers (environment.agents.at_once), with {gib(limits.memory_mib * MIB)} and "
            f"{limits.processes} processes at most each: {gib(at_once * limits.memory_mib * MIB)}"
        )
