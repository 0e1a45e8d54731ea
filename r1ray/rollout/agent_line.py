"""The policy as the agent of one trajectory reaches it: its calls become turns, within the limits of its key.

ChatCall --CallTree.begin--> tokens --engine--> turn --CallTree.end--> Answer

A call whose client goes away, or that is under way when the agent ends, is ended in its engine. What was sampled for it
stays in the trajectory: it is a turn that nothing goes on from.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from typing import TypeAlias
from uuid import uuid4

import numpy as np

from r1ray.config.environment import EnvironmentConfig
from r1ray.conversation import ChatRenderer
from r1ray.endpoint.answers import Answer
from r1ray.endpoint.chat_call import ChatCall
from r1ray.endpoint.json_text import is_deep, parsed
from r1ray.endpoint.messages import Said, SaidCall
from r1ray.endpoint.refusals import Refused
from r1ray.errors import UserError
from r1ray.rollout.call_tree import Call, CallTree
from r1ray.rollout.engine import TrajectoryRequest
from r1ray.rollout.history import CHARS_PER_TOKEN
from r1ray.rollout.turn_sampler import UNWANTED, Ended
from r1ray.turns import Action, AgentCalls, Message, ToolCall, ToolSchema
from r1ray.types import Sampling, Trajectory

MAX_AT_ONCE = 8
"""Calls of one key that may be under way."""
CUT = ("calls_exhausted", "tokens_exhausted", "context_length_exceeded")
"""Refusals by which a trajectory counts as truncated."""
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
        self._request, self._renderer, self._max_calls = request, renderer, config.max_turns
        self._sample, self._end = sample, end
        self._limit = max_prompt_tokens + config.trajectory_tokens(request.sampling.max_tokens)
        self._max_row_tokens = max(max_row_tokens, self._limit)
        self.tree = CallTree(renderer)
        self.num_tool_calls = self.num_malformed = 0
        self._row_tokens = self._reserved = self._num_taken = 0
        self._refused: Counter[str] = Counter()
        self._shown: tuple[ToolSchema, ...] = ()
        """Tools that the template is known to show."""
        self._tasks: dict[asyncio.Task[Answer], Call] = {}
        self._is_closed = False
        self._idle_s, self._idle_since = 0.0, time.monotonic()
        self.failure: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        """Raises what ends the trajectory: no engine can take a turn of it, or it is late."""

    @property
    def idle_s(self) -> float:
        """Return the time during which no call was under way."""
        return self._idle_s + (0.0 if self._tasks else time.monotonic() - self._idle_since)

    @property
    def is_cut(self) -> bool:
        """Return whether a limit has refused a call."""
        return any(self._refused[each] for each in CUT)

    def counts(self) -> AgentCalls:
        tree = self.tree
        answered = sum(bool(each.answered) for each in tree.calls)
        return AgentCalls(num_answered=answered, num_extending=tree.num_extending, refused=dict(self._refused))

    def note_refusal(self, code: str) -> None:
        """See :class:`r1ray.endpoint.server.Line`."""
        self._refused[code] += 1

    async def answer(self, asked: ChatCall) -> Answer:
        """See :class:`r1ray.endpoint.server.Line`."""
        self._check(asked)
        call = self._begun(asked)
        task = self._started(asked, call)
        try:
            answer = await asyncio.shield(task)
        except asyncio.CancelledError:
            if task.cancelled():
                raise self._over() from None
            self._refused["client_gone"] += 1
            self._leave(task)
            raise
        self.tree.told(call, Said("assistant", answer.content, calls=answer.calls))
        return answer

    async def close(self) -> None:
        """Take no more calls, end those that are under way, and return when all that was sampled is recorded."""
        self._is_closed = True
        for task in list(self._tasks):
            self._leave(task)
        if self._tasks:
            await asyncio.wait(list(self._tasks))

    # ------------------------------------------------------------------ limits

    def _check(self, asked: ChatCall) -> None:
        """Raise Refused for a call that is one too many, or that is too long to be rendered."""
        if self._is_closed or self.failure.done():
            raise self._over()
        if self._num_taken >= self._max_calls:
            raise Refused(
                400, "calls_exhausted", f"This key has had its {self._max_calls} calls (environment.max_turns)."
            )
        if len(self._tasks) >= MAX_AT_ONCE:
            sentence = f"This key has {MAX_AT_ONCE} calls under way; call again when one has ended."
            raise Refused(429, "too_many_at_once", sentence, is_worth_retrying=True)
        if len(asked.messages) > self._limit or asked.num_chars > CHARS_PER_TOKEN * self._limit:
            raise self._too_long("far more")

    def _begun(self, asked: ChatCall) -> Call:
        """Return a call with its tokens. Raises Refused where the template takes no such conversation."""
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
        """Return the task of a call, whose tokens are reserved. Raises Refused where there is no room for a turn."""
        try:
            num_own = len(call.bridge) if call.is_in_row else len(call.given)
            num_tokens = min(self._room(call, num_own), asked.max_tokens or self._request.sampling.max_tokens)
        except Refused:
            self.tree.drop(call)
            raise
        sampling = replace(
            self._request.sampling,
            max_tokens=min(num_tokens, self._request.sampling.max_tokens),
            stop=asked.stop,
            stop_token_ids=self._renderer.stop_token_ids,
        )
        if not self._tasks:
            self._idle_s = self.idle_s
        self._num_taken += 1
        reserved = num_own + sampling.max_tokens
        self._reserved += reserved
        task = asyncio.create_task(self._turn(asked, call, sampling))
        self._tasks[task] = call
        task.add_done_callback(lambda done: self._ended(done, call, num_own, reserved))
        return task

    def _room(self, call: Call, num_own: int) -> int:
        """Return how many tokens a turn may have. Raises Refused where it is none."""
        if len(call.given) >= self._limit:
            raise self._too_long(f"{len(call.given)}")
        left = self._max_row_tokens - self._row_tokens - num_own
        if left - self._reserved >= 1:
            return min(left - self._reserved, self._limit - len(call.given))
        if left >= 1:
            sentence = "Other calls of this key, under way, may need all tokens that are left; call again later."
            raise Refused(429, "too_many_at_once", sentence, is_worth_retrying=True)
        sentence = f"All conversations of this key together may have {self._max_row_tokens} tokens, and have them."
        raise Refused(400, "tokens_exhausted", sentence, "messages")

    def _over(self) -> Refused:
        return Refused(503, "ended", "The trajectory of this key has ended.")

    def _too_long(self, found: str) -> Refused:
        sentence = f"A conversation, with its answer, may have {self._limit} tokens, and this one has {found}."
        return Refused(400, "context_length_exceeded", sentence, "messages")

    # ------------------------------------------------------------------ a turn

    async def _turn(self, asked: ChatCall, call: Call, sampling: Sampling) -> Answer:
        """Have the policy say something, record it, and return it. Raises Refused where it says nothing to a client."""
        seed = self._request.seed + 1_000_003 * (call.number - 1)  # else all turns would draw the same numbers
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
            raise self._over() from error
        action = self._record(asked, call, turn)
        return _answer(action, call, asked.stop)

    def _record(self, asked: ChatCall, call: Call, turn: Trajectory) -> Action:
        (segment,) = turn.policy_segments
        turn = replace(turn, segments=(replace(segment, stop=""),))  # the client's stop string is no limit of the run's
        action = self._renderer.parse(segment.token_ids.tolist(), asked.tools if asked.reads_calls else ())
        calls = tuple(map(_tellable, action.calls))
        action = replace(action, calls=calls, is_whole=turn.status == "finished", turn=call.number - 1)
        self.tree.end(call, turn, action)
        self.num_tool_calls += len(calls)
        self.num_malformed += sum(bool(each.problem) for each in calls)
        return action

    def _ended(self, task: asyncio.Task[Answer], call: Call, num_own: int, reserved: int) -> None:
        """Book what a call has cost."""
        del self._tasks[task]
        if not self._tasks:
            self._idle_since = time.monotonic()
        self._reserved -= reserved
        if call.turn is not None:
            self._row_tokens += num_own + len(call.sampled)
        else:
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


def _tellable(call: ToolCall) -> ToolCall:
    """Return a call; one whose arguments cannot travel as JSON is malformed: halves of characters, numbers without
    end."""
    if call.problem:
        return call
    try:
        arguments = json.dumps(call.arguments, allow_nan=False)
        problem = "its arguments are nested too deeply" if is_deep(parsed(arguments)) else ""
    except (ValueError, RecursionError) as error:
        problem = f"{error}"
    return replace(call, arguments={}, problem=f"The call is malformed: {problem}.") if problem else call


def _answer(action: Action, call: Call, stop: Sequence[str]) -> Answer:
    """Return a turn as its client is told it: malformed calls are text."""
    malformed = [each.text for each in action.calls if each.problem]
    calls = [each for each in action.calls if not each.problem]
    content = "\n".join(each for each in (action.content, *malformed) if each)
    for each in stop:
        content = content.partition(each)[0]
    assert call.turn is not None
    return Answer(
        content=content,
        reasoning=action.reasoning,
        calls=tuple(SaidCall(f"call_{uuid4().hex[:24]}", each.name, json.dumps(each.arguments)) for each in calls),
        reason="length" if not action.is_whole else "tool_calls" if calls else "stop",
        prompt_tokens=len(call.given),
        completion_tokens=call.turn.num_policy_tokens,
    )
