"""Fakes of the roles of an episode: a renderer whose tokens are characters, an engine that says what a script has, and
worlds that answer by a function. Nothing here waits unless a test asks for it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from r1ray.checks import FormatOnly
from r1ray.errors import UserError
from r1ray.rollout.engine import Generated, TrajectoryRequest, one_segment
from r1ray.rollout.placement import EngineState
from r1ray.turns import Access, Action, Done, Message, Observation, Role, ToolCall, ToolSchema
from r1ray.types import EngineTimes, Int32Array, Prompt, Sampling, Trajectory, VersionSpan

END, BEGIN, FIRST = 2, 1, 100
ROLES: dict[Role, int] = {"system": 3, "user": 4, "assistant": 5, "tool": 6}
PROMPT = Prompt(
    id="p",
    text="not looked at",
    check=FormatOnly(),
    domain="math",
    language="en",
    environment="maze",
    messages=(Message("user", "go"),),
)
CALCULATOR: ToolSchema = {"type": "function", "function": {"name": "add", "description": "", "parameters": {}}}


def encode(text: str) -> list[int]:
    return [FIRST + ord(each) for each in text]


def say(text: str) -> list[int]:
    """Tokens of a whole turn."""
    return [*encode(text), END]


class Renderer:
    """``[BEGIN, role, text, END]``. A turn calls tools by ``<name {json}>``; it thinks before ``|``."""

    name = "scripted"
    stop_token_ids: tuple[int, ...] = (END,)

    def __init__(self, *, drops_reasoning: bool = False, refuses: str = "") -> None:
        """``drops_reasoning``: from the history, so that a turn with any is followed by a branch; ``refuses``: messages
        with this text."""
        self._drops_reasoning, self._refuses = drops_reasoning, refuses

    def prompt(self, messages: Sequence[Message], tools: Sequence[ToolSchema]) -> list[int]:
        offered = encode(f"{len(tools)} tools.") if tools else []
        return [*offered, *(token for each in messages for token in self._render(each)), BEGIN, ROLES["assistant"]]

    def bridge(
        self,
        messages: Sequence[Message],
        tools: Sequence[ToolSchema],
        prompt_ids: Sequence[int],
        sampled_ids: Sequence[int],
        new_messages: Sequence[Message],
    ) -> list[int] | None:
        if self._drops_reasoning and FIRST + ord("|") in sampled_ids:
            return None
        end = [] if sampled_ids[-1:] == [END] else [END]
        new = [token for each in new_messages for token in self._render(each)]
        return [*end, *new, BEGIN, ROLES["assistant"]]

    def parse(self, sampled_ids: Sequence[int], tools: Sequence[ToolSchema]) -> Action:
        text = self.decode([each for each in sampled_ids if each != END])
        reasoning, _, rest = text.rpartition("|")
        content, *calls = rest.split("<")
        return Action(
            content=content, reasoning=reasoning, calls=tuple(_call(each.rstrip(">")) for each in calls), text=text
        )

    def decode(self, ids: Sequence[int]) -> str:
        marks = {BEGIN: "[", END: "]", **{number: f"{role}:" for role, number in ROLES.items()}}
        return "".join(marks.get(each) or chr(each - FIRST) for each in ids)

    def _render(self, message: Message) -> list[int]:
        if self._refuses and self._refuses in message.content:
            raise UserError("the template takes no such message")
        reasoning = f"{message.reasoning}|" if message.reasoning and not self._drops_reasoning else ""
        calls = "".join(f"<{call.text}>" for call in message.calls)
        return [BEGIN, ROLES[message.role], *encode(reasoning + message.content + calls), END]


def _call(text: str) -> ToolCall:
    name, _, arguments = text.partition(" ")
    try:
        return ToolCall(name, json.loads(arguments or "{}"), text=text)
    except ValueError as error:
        return ToolCall(name, {}, text=text, problem=f"The arguments are no JSON: {error}.")


@dataclass
class Asked:
    """What an engine was asked for, and what it sampled then."""

    of: TrajectoryRequest
    given: list[int]
    """With what had begun already."""
    sampled: list[int] = field(default_factory=list)


@dataclass
class Engine:
    """Says ``script(request, turn)``, cut at the limit of tokens; ``wait(request, turn)`` is awaited before."""

    script: Callable[[TrajectoryRequest, int], str] = lambda of, turn: "on"
    wait: Callable[[TrajectoryRequest, int], Coroutine[Any, Any, object] | None] = lambda of, turn: None
    version: int = 0
    kv_tokens: int = 0
    asked: list[Asked] = field(default_factory=list)
    aborted: list[str] = field(default_factory=list)
    turns: dict[str, int] = field(default_factory=dict)
    """Turns of each trajectory so far, on whichever engine, where engines share it."""
    running: int = 0
    _events: dict[str, asyncio.Event] = field(default_factory=dict)

    async def generate(self, of: TrajectoryRequest) -> Generated:
        turn = self.turns.get(of.id, 0)
        assert of.given is not None
        begun = of.begun.policy_segments[0] if of.begun is not None else None
        asked = Asked(of, of.given.tolist())
        self.asked.append(asked)
        event = self._events[of.turn_id] = asyncio.Event()
        self.running += 1
        try:
            if (waiting := self.wait(of, turn)) is not None:
                await self._until(waiting, event)
        finally:
            self.running -= 1
        ids = say(self.script(of, turn))
        if event.is_set():
            asked.sampled = ids[:1]
            return Generated(_turn_of(of, asked, "aborted", self.version, None), self.kv_tokens)
        before = begun.token_ids.tolist() if begun is not None else []
        asked.sampled = [*before, *ids[len(before) :]][: of.sampling.max_tokens]
        self.turns[of.id] = turn + 1
        status = "finished" if asked.sampled[-1] == END else "truncated"
        return Generated(_turn_of(of, asked, status, self.version, begun), self.kv_tokens)

    async def abort(self, ids: Sequence[str]) -> None:
        self.aborted += ids
        for each in ids:
            self._events[each].set()

    async def times(self) -> EngineTimes:
        return EngineTimes(0.0, 0.0, 0.0, 0.0)

    async def _until(self, waiting: Coroutine[Any, Any, object], event: asyncio.Event) -> None:
        """Wait, or until the turn is aborted."""
        tasks = [asyncio.ensure_future(waiting), asyncio.ensure_future(event.wait())]
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            if tasks[0] in done:
                tasks[0].result()
        finally:
            for task in tasks:
                task.cancel()


def _turn_of(of: TrajectoryRequest, asked: Asked, status: Any, version: int, begun: Any) -> Trajectory:
    ids, start = asked.sampled, len(begun.token_ids) if begun is not None else 0
    spans = (*(begun.versions if begun is not None else ()), VersionSpan(version, start, len(ids)))
    assert of.given is not None
    return one_segment(
        group_id=of.group_id,
        index=of.index,
        prompt_token_ids=of.given,
        token_ids=np.asarray(ids, dtype=np.int32),
        logprobs=np.full(len(ids), -1.0, dtype=np.float32),
        versions=spans,
        text=Renderer().decode([each for each in ids if each != END]),
        status=status,
        seconds=1.0,
    )


@dataclass
class World:
    """Answers an action by ``answer(action)``, a value, a coroutine or an exception."""

    observation: Observation
    answer: Callable[[Action], Any]
    seed: int
    actions: list[Action] = field(default_factory=list)
    is_left: bool = False

    async def step(self, action: Action) -> Observation | Done:
        self.actions.append(action)
        answer = self.answer(action)
        answer = await answer if asyncio.iscoroutine(answer) else answer
        if isinstance(answer, Exception):
            raise answer
        assert isinstance(answer, Observation | Done)
        return answer

    async def begin(self) -> None:
        raise AssertionError("it has no agent")

    async def run(self, access: Access) -> Done:
        raise AssertionError("it has no agent")

    async def stop(self) -> None:
        raise AssertionError("it has no agent")

    async def leave(self) -> None:
        self.is_left = True


@dataclass
class Worlds:
    """Makes worlds that share ``answer``; ``fails(number)`` is raised instead of making the one of a number."""

    answer: Callable[[Action], Any]
    tools: tuple[ToolSchema, ...] = ()
    fails: Callable[[int], Exception | None] = lambda number: None
    made: list[World] = field(default_factory=list)

    async def enter(self, prompt: Prompt, seed: int) -> World:
        await asyncio.sleep(0)
        if (error := self.fails(len(self.made))) is not None:
            self.made.append(World(Observation(messages=()), self.answer, seed, is_left=True))
            raise error
        world = World(Observation(messages=prompt.messages, tools=self.tools), self.answer, seed)
        self.made.append(world)
        return world


def told(text: str, *, role: Role = "user", tool: str = "", **more: Any) -> Observation:
    """What a world answers with one message."""
    return Observation(messages=(Message(role, text, tool=tool),), **more)


def request(
    *, max_tokens: int = 1000, seed: int = 0, index: int = 0, prompt: Prompt = PROMPT, **sampling: Any
) -> TrajectoryRequest:
    return TrajectoryRequest(
        group_id="0/0",
        index=index,
        prompt=prompt,
        sampling=Sampling(1.0, 1.0, max_tokens, **sampling),
        seed=seed + index,
    )


def state(engine: Any, *, name: str = "engine 0", slots: int = 8, **changes: Any) -> EngineState:
    settings: dict[str, Any] = {"name": name, "incarnation": 0, "engine": engine, "num_slots": slots}
    return EngineState(**(settings | {"state": "serving"} | changes))


def turns_of(trajectory: Trajectory) -> list[tuple[list[int], list[int]]]:
    """What each turn of a trajectory followed in its branch, and what was sampled then: what the learner reads."""
    turns = []
    for branch in trajectory.branches:
        before: list[Int32Array] = [trajectory.prompt_token_ids]
        for segment in branch:
            if segment.kind == "policy":
                turns.append((np.concatenate(before).tolist(), segment.token_ids.tolist()))
            before.append(segment.token_ids)
    return turns


async def until(holds: Callable[[], bool]) -> None:
    """Wait until something holds, however busy the machine is."""
    while not holds():
        await asyncio.sleep(0.01)


def within(seconds: float, work: Coroutine[Any, Any, Any]) -> Any:
    return asyncio.run(asyncio.wait_for(work, seconds))
