"""One trajectory whose environment is an agent: it has a key to the policy, calls as it likes, and is judged then.

    Endpoint.open --> Access --> World.run (the agent) --> Done          calls --> AgentLine --> rows of the trajectory

The time of an agent runs while no call of it is under way: an engine may be paused for as long as it is.
"""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

from r1ray.config.environment import EnvironmentConfig
from r1ray.endpoint.server import Endpoint
from r1ray.errors import EnvironmentFailed
from r1ray.rollout.agent_line import AgentLine
from r1ray.rollout.call_tree import status_of
from r1ray.rollout.engine import TrajectoryRequest
from r1ray.rollout.worlds import World, numbers_of
from r1ray.turns import Done, InEnvironment
from r1ray.types import Status, Trajectory

LEAST_SLEEP_S = 0.2
"""Between two looks at an agent's clock, which stands still during its calls."""
MAX_SAID = 400
"""Characters of an agent's end that an error repeats."""


class AgentEpisode:
    """The calls of one agent."""

    def __init__(
        self,
        request: TrajectoryRequest,
        world: World,
        config: EnvironmentConfig,
        *,
        line: AgentLine,
        endpoint: Endpoint,
        entered_s: float = 0.0,
    ) -> None:
        """``entered_s``: what entering the world took."""
        self._request, self._world, self._line, self._endpoint = request, world, line, endpoint
        self._entered_s = entered_s
        self._time_s = config.max_turns * config.step_timeout_s
        self._is_out_of_time = False

    async def run(self) -> Trajectory:
        """Return the trajectory. Raises what sampling a turn does, EnvironmentLost, InfrastructureError and
        EnvironmentFailed: also where the agent has called nothing."""
        access = await self._endpoint.open(self._line)
        running = asyncio.create_task(self._world.run(access))
        clock = asyncio.create_task(self._keep_time())
        try:
            ends: set[asyncio.Future[Any]] = {running, self._line.failure}
            await asyncio.wait({clock, *ends}, return_when=asyncio.FIRST_COMPLETED)
            if not any(each.done() for each in ends):
                clock.result()  # it is out of time
                await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
            if self._line.failure.done():
                self._line.failure.result()
            done = running.result()
        finally:
            self._endpoint.close(access)
            running.cancel()
            clock.cancel()
            await self._line.close()
        if (last := self._line.tree.last) is None:
            raise self._silent(done)
        is_cut = self._is_out_of_time or self._line.is_cut
        return self._ended(status_of(last, is_cut=is_cut), done)

    def so_far(self, partial: Trajectory | None = None) -> Trajectory:
        """Return what there is of the trajectory, as aborted; a turn that is under way records itself."""
        return self._ended("aborted", Done())

    async def _keep_time(self) -> None:
        """Tell the world when the agent is out of time."""
        while (left_s := self._time_s - self._line.idle_s) > 0:
            await asyncio.sleep(max(left_s, LEAST_SLEEP_S))
        self._is_out_of_time = True
        await self._world.stop()

    def _silent(self, done: Done) -> EnvironmentFailed:
        name, refused = self._request.prompt.environment, self._line.counts().refused
        why = (
            f" (refused: {', '.join(f'{each} {count}' for each, count in sorted(refused.items()))})" if refused else ""
        )
        said = f"; its end: {done.detail[-MAX_SAID:]}" if done.detail else ""
        label = f" with {done.label}" if done.label else ""
        return EnvironmentFailed(
            f"environment {name}: its agent ended{label} without a call that was answered{why}{said}",
            "the agent ended without a call that was answered",
        )

    def _ended(self, status: Status, done: Done) -> Trajectory:
        request, line = self._request, self._line
        transcript = line.tree.transcript()
        made = transcript.trajectory(request.group_id, request.index, status=status, world=None)
        turns = tuple(len(segment.token_ids) for segment in made.policy_segments)
        world = InEnvironment(
            name=request.prompt.environment,
            rewards=numbers_of(done.rewards),
            turn_rewards=tuple({} for _ in turns),
            turn_tokens=turns,
            num_calls=line.num_tool_calls,
            num_errors=line.num_malformed,
            seconds=self._entered_s + line.idle_s,
            label=done.label,
            detail=done.detail,
            agent=line.counts(),
        )
        tools = line.tree.last.tools if line.tree.last is not None else ()
        said = transcript.conversations(tools) if request.is_eval else ()
        return replace(made, world=world, conversations=said)
