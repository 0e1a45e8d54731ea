"""Facts of the run, for a world that asks for them: its constructor has a keyword argument ``context``."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeVar, cast

from r1ray.config import EnvironmentConfig, SandboxConfig
from r1ray.config.environment import AgentsConfig

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class WorldContext:
    """One for each process."""

    sandbox: SandboxConfig = field(default_factory=SandboxConfig)
    step_timeout_s: float = 60.0
    """``environment.step_timeout_s``: what a world takes for a turn, it has to take within this."""
    command: tuple[str, ...] = ()
    """``environment.command``: of agents whose options name no other one."""
    agents: AgentsConfig = field(default_factory=AgentsConfig)
    """``environment.agents``: the limits of each."""
    _shared: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def of(cls, config: EnvironmentConfig, sandbox: SandboxConfig) -> WorldContext:
        """Return what a run's configuration says of it."""
        return cls(
            sandbox=sandbox,
            step_timeout_s=config.step_timeout_s,
            command=tuple(config.command),
            agents=config.agents,
        )

    def shared(self, key: str, make: Callable[[], T]) -> T:
        """Return what all worlds of this process share under a name; ``make`` is called once."""
        if key not in self._shared:
            self._shared[key] = make()
        return cast(T, self._shared[key])

    async def close(self) -> None:
        """Close what is shared and has a coroutine ``close``: nothing begins any more."""
        held = list(self._shared.values())
        self._shared.clear()
        for each in held:
            if inspect.iscoroutinefunction(close := getattr(each, "close", None)):
                await close()
