"""One trajectory in its world: turns of the policy, and what the world answers, until one of them ends it.

    world.observation -> tokens -> engine -> Action -> world.step -> Observation -> tokens ... -> Done
                         `------ Transcript ------'

A turn takes a slot on an engine; while the world answers, the trajectory has none.
"""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from r1ray.config.environment import EnvironmentConfig
from r1ray.conversation.chat_renderer import ChatRenderer
from r1ray.endpoint.server import Endpoint
from r1ray.errors import (
    EngineLost,
    EnvironmentFailed,
    EnvironmentLost,
    InfrastructureError,
    PromptTooLong,
    UserError,
)
from r1ray.rollout.agent_episode import AgentEpisode
from r1ray.rollout.agent_line import AgentLine, End, Sample
from r1ray.rollout.engine import TrajectoryRequest
from r1ray.rollout.history import SUMMARISE, Bridge, fitted, history_of, with_summary, without_oldest_results
from r1ray.rollout.transcript import Transcript
from r1ray.rollout.turn_sampler import MAX_ATTEMPTS
from r1ray.rollout.worlds import World, Worlds, numbers_of
from r1ray.runtime.background import Background
from r1ray.turns import Action, Done, InEnvironment, Message, Observation
from r1ray.types import Status, Trajectory

logger = logging.getLogger(__name__)
ROOM_SHARE = 8
"""A history is full, where its reaction makes it shorter, once less than this part of it is left (1/8)."""


@dataclass(slots=True)
class _Account:
    """Sums of an environment's answers so far."""

    turn_rewards: list[Mapping[str, float]] = field(default_factory=list)
    turn_tokens: list[int] = field(default_factory=list)
    num_calls: int = 0
    num_errors: int = 0
    seconds: float = 0.0


class Episode:
    """The turns of one trajectory."""

    def __init__(
        self,
        request: TrajectoryRequest,
        world: World,
        renderer: ChatRenderer,
        config: EnvironmentConfig,
        *,
        sample: Sample,
        max_prompt_tokens: int,
        max_row_tokens: int,
        entered_s: float = 0.0,
    ) -> None:
        """
        Args:
            max_prompt_tokens: of the conversation up to the first turn.
            max_row_tokens: of all branches together.
            entered_s: what entering the world took.

        Raises PromptTooLong.
        """
        self._request, self._world, self._renderer, self._config = request, world, renderer, config
        self._sample, self._tools = sample, world.observation.tools
        self._transcript = Transcript(renderer.decode)
        self._account = _Account(seconds=entered_s)
        self._first = tuple(world.observation.messages)
        self._messages: tuple[Message, ...] = self._first
        """The conversation of ``_given``."""
        self._given = self._renderer.prompt(self._messages, self._tools)
        """The tokens that the last turn followed, or the next one follows."""
        self._sampled: list[int] = []
        self._num_turns = 0
        if len(self._given) > max_prompt_tokens:
            raise PromptTooLong(
                f"prompt {request.prompt.id} in {request.prompt.environment} has {len(self._given)} tokens"
            )
        longest = request.sampling.max_tokens
        self._room = config.trajectory_tokens(longest)
        self._limit = len(self._given) + self._room
        """Tokens of a branch."""
        self._max_row_tokens = max(max_row_tokens, self._limit)
        least = min(longest, max(1, self._room // ROOM_SHARE))
        self._least_room = 1 if config.on_full == "end" else least
        self._reserve = least if config.on_full == "summarise" else 0
        """Left free by turns, for the summary."""
        self._transcript.begin(self._given, self._messages)

    async def run(self) -> Trajectory:
        """Return the trajectory. Raises what sampling a turn does, and EnvironmentLost, InfrastructureError and
        EnvironmentFailed."""
        while True:
            action = await self._turn(reserve=self._reserve)
            answer = await self._step(action)
            if isinstance(answer, Done):
                return self._ended("finished" if action.is_whole else "truncated", answer)
            if self._config.on_malformed == "end" and any(call.problem for call in action.calls):
                return self._ended("finished", Done())
            if self._num_turns >= self._config.max_turns or not await self._go_on(action, answer):
                return self._ended("truncated", Done())

    def so_far(self, partial: Trajectory | None = None) -> Trajectory:
        """Return what there is of the trajectory, as aborted; ``partial``: of the turn that is under way."""
        if partial is not None and partial.num_policy_tokens:
            self._note_turn(partial)
        return self._ended("aborted", Done())

    # ------------------------------------------------------------------ a turn

    async def _turn(self, *, reserve: int = 0) -> Action:
        """Have the policy say something, and add it to the transcript."""
        given = self._transcript.ids
        self._given = given.tolist()
        asked = self._request.sampling
        sampling = replace(
            asked,
            max_tokens=max(1, min(asked.max_tokens, self._left(len(given)) - reserve)),
            stop_token_ids=self._renderer.stop_token_ids,
        )
        seed = self._request.seed_of(len(self._account.turn_tokens))
        turn = await self._sample(replace(self._request, sampling=sampling, seed=seed, given=given))
        self._note_turn(turn)
        action = self._renderer.parse(self._sampled, self._tools)
        action = replace(action, is_whole=turn.status == "finished", turn=self._num_turns)
        self._transcript.said(action, self._renderer.decode(self._sampled))
        return action

    def _note_turn(self, turn: Trajectory) -> None:
        segment = self._transcript.sampled(turn)
        self._sampled = segment.token_ids.tolist()
        self._account.turn_tokens.append(len(self._sampled))
        self._account.turn_rewards.append({})

    async def _step(self, action: Action) -> Observation | Done:
        started, account = time.monotonic(), self._account
        try:
            answer = await self._world.step(action)
        finally:
            account.seconds += time.monotonic() - started
        self._num_turns += 1
        num_malformed = sum(bool(call.problem) for call in action.calls)
        account.num_calls += len(action.calls)
        account.num_errors += max(answer.num_errors, num_malformed)  # an environment need not count those
        account.turn_rewards[-1] = numbers_of(answer.turn_rewards if isinstance(answer, Done) else answer.rewards)
        return answer

    # ------------------------------------------------------------------ between two turns

    async def _go_on(self, action: Action, answer: Observation) -> bool:
        """Add what the world said to the transcript. Return False where it leaves no room for another turn."""
        said = history_of(action)
        limit = self._config.max_context_tokens
        new, bridge = fitted(answer.messages, lambda new: self._bridge(new, said), max_tokens=limit)
        messages = (*self._messages, said, *new)
        behind = len(self._given) + len(self._sampled)
        if bridge.follows and self._left(behind) - len(bridge.ids) >= self._least_room + self._reserve:
            self._transcript.give(bridge.ids, new)
            self._messages = messages
            return True
        if not bridge.follows and self._begin(messages, bridge.whole):
            return True
        if self._config.on_full == "drop_oldest_results":
            shorter = without_oldest_results(messages, len(self._first), len(new), self._fits_in_half)
            return self._begin(shorter)
        if self._config.on_full == "summarise" and (summary := await self._summary(said)):
            return self._begin((*with_summary(self._first, summary), said, *new))
        return False

    def _bridge(self, new: Sequence[Message], said: Message) -> Bridge:
        """Return the tokens of new messages behind the last turn; where they cannot follow it, those that their texts
        add to the whole conversation."""
        ids = self._renderer.bridge(self._messages, self._tools, self._given, self._sampled, new)
        if ids is not None:
            return Bridge(ids)
        history = (*self._messages, said)
        without = self._renderer.prompt((*history, *(replace(each, content="") for each in new)), self._tools)
        whole = self._renderer.prompt((*history, *new), self._tools)
        return Bridge(whole[len(without) :], whole)

    def _begin(self, messages: Sequence[Message], ids: Sequence[int] | None = None) -> bool:
        """Begin a branch with a conversation, by its tokens where they are known. Return False where it leaves no room
        for a turn."""
        ids = self._renderer.prompt(messages, self._tools) if ids is None else ids
        if self._left(0) - len(ids) < self._least_room + self._reserve:
            return False
        self._messages = tuple(messages)
        self._transcript.begin(ids, messages)
        return True

    def _left(self, num_tokens: int) -> int:
        """Return how many tokens may follow in a branch that has so many: of the branch, and of all together."""
        return min(self._limit - num_tokens, self._max_row_tokens - self._transcript.num_row_tokens)

    def _fits_in_half(self, messages: Sequence[Message]) -> bool:
        num_tokens = len(self._renderer.prompt(messages, self._tools))
        return num_tokens <= self._limit - self._room // 2

    async def _summary(self, said: Message) -> str:
        """Have the policy sum the conversation up; its answer is a turn like the others. Empty if there is no room."""
        request = Message("user", SUMMARISE)
        ids = self._renderer.bridge(self._messages, self._tools, self._given, self._sampled, [request])
        if ids is None:
            prompt = self._renderer.prompt((*self._messages, said, request), self._tools)
            if len(prompt) >= self._left(0):
                return ""
            self._transcript.begin(prompt, (*self._messages, said, request))
        elif len(ids) >= self._left(len(self._given) + len(self._sampled)):
            return ""
        else:
            self._transcript.give(ids, [request])
        action = await self._turn()
        return action.content or action.text

    # ------------------------------------------------------------------ the end

    def _ended(self, status: Status, done: Done) -> Trajectory:
        request, account = self._request, self._account
        world = InEnvironment(
            name=request.prompt.environment,
            rewards=numbers_of(done.rewards),
            turn_rewards=tuple(account.turn_rewards),
            turn_tokens=tuple(account.turn_tokens),
            num_calls=account.num_calls,
            num_errors=account.num_errors,
            seconds=account.seconds,
            label=done.label,
            detail=done.detail,
        )
        made = self._transcript.trajectory(request.group_id, request.index, status=status, world=world)
        said = self._transcript.conversations(self._tools) if request.is_eval else ()
        return replace(made, conversations=said)


class Episodes:
    """Plays trajectories in their worlds; one whose world is lost begins again, alone."""

    def __init__(
        self,
        worlds: Worlds,
        renderer: ChatRenderer,
        config: EnvironmentConfig,
        *,
        max_prompt_tokens: int,
        max_row_tokens: int = sys.maxsize,
        endpoint: Endpoint | None = None,
    ) -> None:
        """
        Args:
            max_prompt_tokens: of a conversation up to the first turn.
            max_row_tokens: of all branches of a trajectory together, which a learner reads in one micro-batch. One that
                has no room for another turn ends, as in a history that is full. Trajectories of evaluations may have
                more.
            endpoint: takes the calls of agents; None: no environment has one.
        """
        self._worlds, self._renderer, self._config = worlds, renderer, config
        self._max_prompt_tokens, self._max_row_tokens = max_prompt_tokens, max_row_tokens
        self._endpoint = endpoint
        self._background = Background(_note_failure)

    async def play(
        self,
        request: TrajectoryRequest,
        sample: Sample,
        *,
        begun: Callable[[Episode | AgentEpisode], None],
        end: End = lambda name: False,
    ) -> Trajectory:
        """Return a trajectory.

        Args:
            begun: is called with each attempt, of which the last one counts.
            end: ends a turn that nobody waits for.

        Raises:
            EnvironmentLost: after ``MAX_ATTEMPTS``.
            EnvironmentFailed: the environment's own code failed.
            PromptTooLong, EngineLost, Ended: of a turn.
        """
        for attempt in range(1, MAX_ATTEMPTS + 1):
            try:
                return await self._attempt(request, sample, begun, end)
            except EngineLost:
                raise
            except InfrastructureError as error:
                if attempt == MAX_ATTEMPTS:
                    raise EnvironmentLost(str(error)) from error
                logger.debug("%s: %s; it begins again (%d)", request.id, error, attempt)
            except UserError as error:
                raise EnvironmentFailed(str(error), "the chat template refuses its messages") from error
        raise AssertionError

    async def _attempt(
        self,
        request: TrajectoryRequest,
        sample: Sample,
        begun: Callable[[Episode | AgentEpisode], None],
        end: End,
    ) -> Trajectory:
        started = time.monotonic()
        seed = request.seed - request.index  # the trajectories of a group begin in the same world
        world = await self._worlds.enter(request.prompt, seed)
        try:
            limits = {
                "max_prompt_tokens": self._max_prompt_tokens,
                "max_row_tokens": sys.maxsize if request.is_eval else self._max_row_tokens,
            }
            if world.observation.is_agents:
                await world.begin()
            entered_s = time.monotonic() - started
            episode: Episode | AgentEpisode
            if world.observation.is_agents:
                assert self._endpoint is not None, f"{request.prompt.environment} has an agent, and nobody serves it"
                line = AgentLine(request, self._renderer, self._config, sample=sample, end=end, **limits)
                episode = AgentEpisode(
                    request, world, self._config, line=line, endpoint=self._endpoint, entered_s=entered_s
                )
            else:
                episode = Episode(
                    request, world, self._renderer, self._config, sample=sample, entered_s=entered_s, **limits
                )
            begun(episode)
            return await episode.run()
        finally:
            self._background.start(world.leave())  # whoever waits for the trajectory does not wait for this


def _note_failure(error: BaseException) -> None:
    logger.warning("a world could not be left: %s: %s", type(error).__name__, error)
