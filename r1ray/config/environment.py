"""The environments of a run: who answers the policy's turns, and how long a trajectory may become."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field, fields
from typing import Any

from r1ray.config.values import MAX_ACTORS, at_least, between, check_placement, one_of, seconds

ON_FULL = ("end", "drop_oldest_results", "summarise")
ON_MALFORMED = ("answer", "end")
AGENT = "agent"
"""The environment that runs ``command``."""
WORLD_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_-]*")
"""Name of an environment: a piece of metric names and of configuration keys."""
NO_WORLD = "none"
"""In the place of a name: no environment."""


@dataclass
class WorldConfig:
    """One environment by its name: a user's own, or another form of one that ships."""

    path: str | None = None
    """Its class or function, ``package.module:Class``, or the name of one that ships. null: its own name is that of one
    that ships, or that an installed package offers (entry point group ``r1ray.environments``)."""
    options: dict[str, Any] = field(default_factory=dict)
    """Keyword arguments that it is made with."""


@dataclass
class AgentsConfig:
    """Limits of agents that others wrote: of each trajectory's command, with all processes that it starts."""

    memory_mib: int = 4096
    """Memory of one agent, or of its judge. One that has more is ended; what it left is judged. Unit: MiB."""
    processes: int = 256
    """Processes that one agent, or its judge, has at a time. One that has more is ended; what it left is judged."""
    at_once: int | None = None
    """Agents that one environment worker runs at a time; others wait, and their own time has not begun. null: all of
    its trajectories."""

    def __post_init__(self) -> None:
        for key in ("memory_mib", "processes"):
            at_least(f"environment.agents.{key}", getattr(self, key), 1)
        if self.at_once is not None:
            at_least("environment.agents.at_once", self.at_once, 1)


@dataclass
class EnvironmentConfig:
    """The environments: what answers the policy's turns, on actors of their own, and the limits of a trajectory."""

    num_actors: int = 1
    """Number of environment workers. They are started where prompts name an environment."""
    cpus_per_actor: float = 0.0
    """CPUs that Ray reserves for one environment worker. Unit: CPUs."""
    resources: dict[str, float] = field(default_factory=dict)
    """Custom Ray resources that one environment worker takes, in the form of ``rollout.resources``."""
    labels: dict[str, str] = field(default_factory=dict)
    """Ray labels that the node of an environment worker must have, in the form of ``rollout.labels``. These nodes run
    the tools that a model calls."""
    max_turns: int = 16
    """Turns of the policy after which a trajectory ends. Unit: turns."""
    max_context_tokens: int = 2048
    """Longest answer of an environment to one turn. A longer one loses its middle, and says so. Unit: tokens."""
    max_trajectory_tokens: int | None = None
    """Longest history behind the prompt that a turn is generated from, with the turn. null:
    ``algo.max_completion_tokens``, which limits a single turn too. Unit: tokens."""
    on_full: str = "end"
    """Reaction to a history that leaves no room for another turn: ``end`` the trajectory, ``drop_oldest_results`` (the
    oldest answers of tools lose their text), or ``summarise`` (the policy is asked for a summary, which takes the place
    of the history). The last two go on in a new branch."""
    on_malformed: str = "answer"
    """Reaction to a call that is malformed: ``answer`` it with an error message to the model, or ``end`` the
    trajectory. Both count it."""
    renderer: str = "auto"
    """Way from messages to tokens: ``template`` (the tokenizer's chat template), the name of one of the hand-made
    renderers of the package ``renderers``, or ``auto``: the template if it keeps what came before as it was and its
    calls can be read, else a hand-made one that gives the same tokens, else the template with a branch for each turn
    that it rewrites."""
    keep_reasoning: bool = False
    """Keep the reasoning of earlier turns in the history, where the chat template drops it."""
    reset_timeout_s: float = 120.0
    """Longest time in which an environment begins. After it the trajectory is removed, and counted. Unit: seconds."""
    step_timeout_s: float = 60.0
    """Longest time in which an environment answers a turn. After it the trajectory is removed, and counted. (A tool may
    have a shorter one of its own, after which the model is told.) Unit: seconds."""
    shares: Any = None
    """Ratio of each environment among the training prompts, ``{calculator: 3, search: 1}``; ``none`` are the prompts
    without an environment. Other environments are left out, and one that has too few prompts for its ratio starts over
    earlier than the others. null: as in the file."""
    command: list[str] = field(default_factory=list)
    """Command of the environment ``agent``, which calls the policy itself: a program and its words,
    ``[python, my_agent.py, "{prompt}"]``."""
    agents: AgentsConfig = field(default_factory=AgentsConfig)
    worlds: dict[str, Any] = field(default_factory=dict)
    """Environments by their names: ``+environment.worlds.NAME={path: my_worlds:Maze, options: {size: 5}}``."""
    # Any: OmegaConf cannot add an entry of a dataclass's type from the command line.

    def __post_init__(self) -> None:
        between("environment.num_actors", self.num_actors, 1, MAX_ACTORS)
        at_least("environment.cpus_per_actor", self.cpus_per_actor, 0)
        check_placement("environment", self.resources, self.labels)
        for key in ("max_turns", "max_context_tokens"):
            at_least(f"environment.{key}", getattr(self, key), 1)
        if self.max_trajectory_tokens is not None:
            at_least("environment.max_trajectory_tokens", self.max_trajectory_tokens, 1)
        one_of("environment.on_full", self.on_full, ON_FULL)
        one_of("environment.on_malformed", self.on_malformed, ON_MALFORMED)
        for key in ("reset_timeout_s", "step_timeout_s"):
            seconds(f"environment.{key}", getattr(self, key))
        if self.shares is not None:
            self.shares = _shares(self.shares)
        if NO_WORLD in self.worlds:
            raise ValueError(f"environment.worlds.{NO_WORLD}: {NO_WORLD} is no environment; needs another name.")
        self.worlds = {_name("environment.worlds", name): _world(name, world) for name, world in self.worlds.items()}

    def longest_s(self, at_a_time: int) -> float:
        """Return the longest time for which one of ``at_a_time`` trajectories waits for its environment:
        ``reset_timeout_s`` and ``max_turns`` times ``step_timeout_s``, which an agent may also wait for those that have
        its place before it (``agents.at_once``)."""
        at_once = self.agents.at_once
        num_rounds = 1 if at_once is None else max(1, math.ceil(at_a_time / (self.num_actors * at_once)))
        return num_rounds * (self.reset_timeout_s + self.max_turns * self.step_timeout_s)

    def command_of(self, name: str | None) -> list[Any] | None:
        """Return the command of an environment's agent, of which a run makes one for each trajectory; None where the
        environment of that name is not ``agent``, nor a form of it."""
        world = self.worlds.get(name or NO_WORLD, WorldConfig())
        if (world.path or name) != AGENT:
            return None
        own = world.options.get("command")
        return list(self.command if own is None else own)

    def require_command(self, name: str | None) -> None:
        """Raise ValueError where the environment of all prompts is an agent without a command."""
        if self.command_of(name) == []:
            raise ValueError(
                f"environment.command=[]: environment={name} runs an agent, and needs its command, "
                'environment.command=[python, my_agent.py, "{prompt}"].'
            )

    def trajectory_tokens(self, max_completion_tokens: int) -> int:
        """``max_trajectory_tokens`` with None decided."""
        return max_completion_tokens if self.max_trajectory_tokens is None else self.max_trajectory_tokens


def _name(key: str, name: Any) -> str:
    if not WORLD_NAME.fullmatch(str(name)):
        raise ValueError(f"{key}.{name}: is no name of an environment; needs letters, digits, _ and -.")
    return str(name)


def _world(name: str, world: Any) -> WorldConfig:
    key = f"environment.worlds.{name}"
    if isinstance(world, WorldConfig):
        return world
    if not isinstance(world, dict):
        raise ValueError(f"{key}={world}: needs an object such as {{path: my_worlds:Maze, options: {{size: 5}}}}.")
    known = [each.name for each in fields(WorldConfig)]
    if unknown := sorted(str(each) for each in world if each not in known):
        raise ValueError(f"{key}.{unknown[0]}: no such key; needs one of {', '.join(known)}.")
    path, options = world.get("path"), world.get("options") or {}
    if path is not None and (not isinstance(path, str) or not path):
        raise ValueError(f"{key}.path={path}: needs package.module:Class, or the name of an environment that ships.")
    if not isinstance(options, dict) or not all(isinstance(each, str) for each in options):
        raise ValueError(f"{key}.options={options}: needs an object of keyword arguments.")
    return WorldConfig(path=path, options=dict(options))


def _shares(value: Any) -> dict[str, float]:
    if not isinstance(value, dict) or not value:
        raise ValueError(f"environment.shares={value}: needs an object such as {{calculator: 3, search: 1}}.")
    for name, ratio in value.items():
        if isinstance(ratio, bool) or not isinstance(ratio, int | float) or ratio <= 0:
            raise ValueError(f"environment.shares.{name}={ratio}: needs a number above 0.")
    return {_name("environment.shares", name): ratio for name, ratio in value.items()}
