"""The policy as the agent of one trajectory reaches it: its calls become turns, within the limits of its key.

ChatCall --CallTree.begin--> tokens --engine--> turn --CallTree.end--> Answer

A call whose client goes away, or that is under way when the agent ends, is ended in its engine. What was sampled for it
stays in the trajectory: it is a turn that nothing goes on from.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import TypeAlias

import numpy as np

from r1ray.config.environment import EnvironmentConfig
from r1ray.conversation import ChatRenderer
from r1ray.endpoint.answers import Answer
from r1ray.endpoint.chat_call import ChatCall
from r1ray.endpoint.messages import Said
from r1ray.endpoint.refusals import Refused
from r1ray.errors import UserError
from r1ray.rollout.agent_answer import answer_of, tellable
from r1ray.rollout.call_tree import Call, CallTree
from r1ray.rollout.engine import TrajectoryRequest
from r1ray.rollout.key_limits import CUT, KeyLimits, Taken, over
from r1ray.rollout.turn_sampler import UNWANTED, Ended
from r1ray.turns import Action, AgentCalls, Message, ToolSchema
from r1ray.types import Sampling, Trajectory

Sample: TypeAlias = Callable[[TrajectoryRequest], Awaitable[Trajectory]]
"""Returns one turn: what the policy says after ``request.given``."""
End: TypeAlias = Callable[[str], bool]
"""See :meth:`r1ray.rollout.turn_sampler.TurnSampler.end`."""


class AgentLine:
    """See :class:`r1ray.endpoint.server.Line`."""

    def __init__(
        self,
        request: TrajectoryRequest,
        renderer: ChatRenderer,
        config: EnvironmentConfig,
        *,
        sample: Sample,
        end: End,
        max_prompt_tokens: int,
        max_row_tokens: int,
    ) -> None:
        """
        Args:
            max_prompt_tokens: with ``environment.max_trajectory_tokens`` the longest that a conversation becomes.
            max_row_tokens: of all rows together.
        """
        self._request, self._renderer = request, renderer
        self._sample, self._end = sample, end
        longest = max_prompt_tokens + config.trajectory_tokens(request.sampling.max_tokens)
        self._limits = KeyLimits(config.max_turns, longest, max_row_tokens=max(max_row_tokens, longest))
        self.tree = CallTree(renderer)
        self.num_tool_calls = self.num_malformed = 0
        self._refused: Counter[str] = Counter()
        self._shown: tuple[ToolSchema, ...] = ()
        """Tools that the template is known to show."""
        self._tasks: dict[asyncio.Task[Answer], Call] = {}
        self._is_closed = False
        self.is_cut = False
        """The last call was refused by a limit."""
        self._idle_s, self._idle_since = 0.0, time.monotonic()
        self.failure: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        """Raises what ends the trajectory: no engine can take a turn of it, or it is late."""

    @property
    def idle_s(self) -> float:
        """Return the time during which no call was under way."""
        return self._idle_s + (0.0 if self._tasks else time.monotonic() - self._idle_since)

    def counts(self) -> AgentCalls:
        tree = self.tree
        return AgentCalls(num_answered=tree.num_answered, num_extending=tree.num_extending, refused=dict(self._refused))

    def note_refusal(self, code: str) -> None:
        """See :class:`r1ray.endpoint.server.Line`."""
        self._refused[code] += 1
        self.is_cut |= code in CUT

    async def answer(self, asked: ChatCall) -> Answer:
        """See :class:`r1ray.endpoint.server.Line`."""
        call = self._begun(asked)
        task = self._started(asked, call)
        try:
            answer = await asyncio.shield(task)
        except asyncio.CancelledError:
            if task.cancelled():
                raise over() from None
            self._refused["client_gone"] += 1
            self._leave(task)
            raise
        self.is_cut = False
        self.tree.told(call, Said("assistant", answer.content, calls=answer.calls))
        return answer

    async def close(self) -> None:
        """Take no more calls, end those that are under way, and return when all that was sampled is recorded."""
        self._is_closed = True
        for task in list(self._tasks):
            self._leave(task)
        if self._tasks:
            await asyncio.wait(list(self._tasks))

    # ------------------------------------------------------------------ a call

    def _begun(self, asked: ChatCall) -> Call:
        """Return a call with its tokens. Raises Refused for one that its key may not make, or that the template does
        not take."""
        if self._is_closed or self.failure.done():
            raise over()
        self._limits.check(asked, num_running=len(self._tasks))
        try:
            self._check_tools(asked.tools)
            return self.tree.begin(asked)
        except UserError as error:
            raise Refused(400, "template", str(error), "messages") from error

    def _check_tools(self, tools: tuple[ToolSchema, ...]) -> None:
        """Raise UserError for tools that the template drops in silence."""
        if not tools or tools == self._shown:
            return
        probe = [Message("user", "?")]
        if self._renderer.prompt(probe, tools) == self._renderer.prompt(probe, ()):
            raise UserError("the chat template of the model drops tools in silence; needs a model that knows tools")
        self._shown = tools

    def _started(self, asked: ChatCall, call: Call) -> asyncio.Task[Answer]:
        """Return the task of a call. Raises Refused where there is no room for a turn."""
        wanted = self._request.sampling
        try:
            taken = self._limits.take(call, min(wanted.max_tokens, asked.max_tokens or wanted.max_tokens))
        except Refused:
            self.tree.drop(call)
            raise
        stops = self._renderer.stop_token_ids
        sampling = replace(wanted, max_tokens=taken.max_tokens, stop=asked.stop, stop_token_ids=stops)
        if not self._tasks:
            self._idle_s = self.idle_s
        task = asyncio.create_task(self._turn(asked, call, sampling))
        self._tasks[task] = call
        task.add_done_callback(lambda done: self._ended(done, call, taken))
        return task

    # ------------------------------------------------------------------ a turn

    async def _turn(self, asked: ChatCall, call: Call, sampling: Sampling) -> Answer:
        """Have the policy say something, record it, and return it. Raises Refused where it says nothing to a client."""
        seed = self._request.seed_of(call.number - 1)
        given = np.asarray(call.given, dtype=np.int32)
        try:
            turn = await self._sample(
                replace(self._request, sampling=sampling, seed=seed, given=given, call=call.number)
            )
        except Ended as error:
            if error.partial is not None and error.partial.num_policy_tokens:
                self._record(asked, call, error.partial)
            if error.reason != UNWANTED:
                self._fail(error)
            raise Refused(503, "ended", f"The turn was ended: {error.reason}.") from error
        except Exception as error:  # whatever it is, the trajectory raises it
            self._fail(error)
            raise over() from error
        action = self._record(asked, call, turn)
        return answer_of(action, call, asked.stop)

    def _record(self, asked: ChatCall, call: Call, turn: Trajectory) -> Action:
        (segment,) = turn.policy_segments
        turn = replace(turn, segments=(replace(segment, stop=""),))  # the client's stop string is no limit of the run's
        action = self._renderer.parse(segment.token_ids.tolist(), asked.tools if asked.reads_calls else ())
        calls = tuple(map(tellable, action.calls))
        action = replace(action, calls=calls, is_whole=turn.status == "finished", turn=call.number - 1)
        self.tree.end(call, turn, action)
        self.num_tool_calls += len(calls)
        self.num_malformed += sum(bool(each.problem) for each in calls)
        return action

    def _ended(self, task: asyncio.Task[Answer], call: Call, taken: Taken) -> None:
        """Book what a call has cost."""
        del self._tasks[task]
        if not self._tasks:
            self._idle_since = time.monotonic()
        self._limits.give_back(taken, num_sampled=len(call.sampled))
        if call.turn is None:
            self.tree.drop(call)
        if not task.cancelled():
            task.exception()  # whoever waited has it, or has gone

    def _leave(self, task: asyncio.Task[Answer]) -> None:
        """End a call for which nobody waits."""
        if task in self._tasks and not self._end(replace(self._request, call=self._tasks[task].number).turn_id):
            task.cancel()

    def _fail(self, error: Exception) -> None:
        if not self.failure.done():
            self.failure.set_exception(error)
            self.failure.exception()  # it may be that nobody asks any more
