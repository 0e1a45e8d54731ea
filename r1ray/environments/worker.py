"""An environment worker: holds the worlds of trajectories, and keeps their deadlines.

    enter(id, prompt, seed) -> Observation     step(id, action) -> Observation | Done     leave(id)
                                               begin(id); run(id, access) -> Done, of an agent; stop(id)
    keep(ids) <-- every group worker, again and again; status() <-- the driver: worlds that nobody keeps are closed

What goes wrong is told apart: InfrastructureError (a machine or a service), EnvironmentLost (the world is gone), and
EnvironmentFailed (the environment's own code raised, or took longer than it may). A plain class: an actor on CPUs.
"""

from __future__ import annotations

import asyncio
import logging
import sys
import time
import traceback
from collections.abc import Awaitable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeVar, cast

from r1ray.config import EnvironmentConfig, SandboxConfig
from r1ray.environments.agent_world import AgentWorld
from r1ray.environments.answers import answered, begun
from r1ray.environments.own_world import OwnWorld
from r1ray.environments.registry import WorldSource
from r1ray.environments.world_context import WorldContext
from r1ray.environments.world_thread import WorldThread
from r1ray.errors import EnvironmentFailed, EnvironmentLost, InfrastructureError, UserError
from r1ray.interfaces import Environment
from r1ray.reward.own_result import MAX_MESSAGE, MAX_TRACEBACK, place_in, shortened
from r1ray.runtime.own_code import Raised, guarded
from r1ray.turns import Access, Action, Done, Observation, ToolCall
from r1ray.types import Prompt

T = TypeVar("T")
logger = logging.getLogger(__name__)
CLOSE_S = 30.0
"""Longest time in which a world closes; nobody waits for it."""
IDLE_S = 600.0
"""A world that no group worker asks for any more is closed after this time."""
OWNER_S = 60.0
"""An agent that may run, and is not told to within this time, has lost its group worker."""
MAX_STUCK = 32
"""Threads of worlds that do not return: a worker with more of them is replaced."""


@dataclass(frozen=True, slots=True)
class EnvironmentStatus:
    """State of an environment worker at a moment."""

    worlds: int
    stuck: int
    """Threads of closed worlds whose code does not return."""

    @property
    def is_worn(self) -> bool:
        """Return whether another worker should take its place."""
        return self.stuck >= MAX_STUCK


@dataclass(eq=False, slots=True)
class _Held:
    name: str
    world: Environment | OwnWorld | AgentWorld
    asked: float
    """Time of the last call for it."""
    call: asyncio.Task[Any] | None = None
    """Its method that runs."""
    out_of_time: asyncio.Event | None = None
    """Set when its agent is out of time; None if none has run."""
    place: Literal["none", "wanted", "had"] = "none"
    """One of ``environment.agents.at_once``."""
    placed: float = 0.0
    """Time at which it got it."""


class EnvironmentWorker:
    """Worlds of the environments that it is told of, by the ids of those who entered them."""

    def __init__(
        self,
        config: EnvironmentConfig,
        sources: Mapping[str, WorldSource],
        sandbox: SandboxConfig | None = None,
        *,
        idle_s: float = IDLE_S,
    ) -> None:
        """
        Args:
            sources: what worlds are made from, by the names that rows have.
            sandbox: for worlds that run programs.
            idle_s: a world that nobody asks for is closed after this time.
        """
        self._config, self._sources, self._idle_s = config, sources, idle_s
        self._context = WorldContext.of(config, sandbox or SandboxConfig())
        self._held: dict[str, _Held] = {}
        at_once = config.agents.at_once
        self._places = asyncio.Semaphore(sys.maxsize if at_once is None else at_once)
        self._closing: set[asyncio.Task[None]] = set()
        self._left: list[tuple[float, WorldThread]] = []
        """Threads of closed worlds, with the times by which they should have ended."""

    # ------------------------------------------------------------------ for group workers

    async def enter(self, world_id: str, prompt: Prompt, seed: int) -> Observation:
        """Make a world and reset it. Raises what is told apart in this module's docstring."""
        source = self._sources[prompt.environment]
        held = self._held[world_id] = self._new(source)
        try:
            found = await self._within("reset", held, held.world.reset(prompt, seed))
            return begun(found, prompt, name=source.name)
        except BaseException:
            await self.leave(world_id)
            raise

    async def step(self, world_id: str, action: Action) -> Observation | Done:
        """Answer a turn. Raises what is told apart in this module's docstring; the world is then closed."""
        held = self._found(world_id)
        try:
            return await self._stepped(held, action)
        except BaseException:
            await self.leave(world_id)
            raise

    async def begin(self, world_id: str) -> None:
        """Return once an agent may run: as long as ``environment.agents.at_once`` others do, it waits. Raises
        EnvironmentLost where its world is left meanwhile."""
        held = self._found(world_id)
        call = held.call = asyncio.ensure_future(self._places.acquire())
        held.place = "wanted"
        try:
            await asyncio.wait({call})
        finally:
            call.cancel()
            held.call = None
            held.place = "had" if call.done() and not call.cancelled() else "none"
        if self._held.get(world_id) is not held:
            self._give_back(held)
            raise EnvironmentLost(f"environment {held.name}: the world was left while its agent waited for a place")
        held.placed = time.monotonic()

    async def run(self, world_id: str, access: Access) -> Done:
        """Have an agent call the policy, and return what it has come to; :meth:`begin` comes first. It runs until it
        ends, until :meth:`stop`, or until nobody has use for its world. Raises what :meth:`step` does."""
        held = self._found(world_id)
        held.out_of_time = asyncio.Event()
        try:
            world = cast(AgentWorld, held.world)
            done = answered(await self._within("run", held, world.run(access, held.out_of_time)), name=held.name)
            if not isinstance(done, Done):
                raise EnvironmentFailed(f"environment {held.name}: run returned no Done", "run returned no Done")
            return done
        except BaseException:
            await self.leave(world_id)
            raise
        finally:
            self._give_back(held)

    async def stop(self, world_id: str) -> None:
        """Tell the world of an agent that it is out of time, if it is here."""
        if (held := self._held.get(world_id)) is not None and held.out_of_time is not None:
            held.out_of_time.set()

    async def leave(self, world_id: str) -> None:
        """Close a world, if it is here; returns before it is closed."""
        held = self._held.pop(world_id, None)
        if held is None:
            return
        if held.call is not None:
            held.call.cancel()
        if held.out_of_time is None:
            self._give_back(held)
        closing = asyncio.create_task(self._close(held))
        self._closing.add(closing)
        closing.add_done_callback(self._closing.discard)

    async def keep(self, world_ids: Collection[str]) -> None:
        """Note that somebody has use for these worlds."""
        now = time.monotonic()
        for world_id in world_ids:
            if world_id in self._held:
                self._held[world_id].asked = now

    async def status(self) -> EnvironmentStatus:
        """Return what this worker does, after it has closed the worlds that nobody had use for."""
        now = time.monotonic()
        for world_id, held in list(self._held.items()):
            may_end = held.call is None or held.out_of_time is not None or held.place == "wanted"
            has_lost_owner = held.place == "had" and held.out_of_time is None and now - held.placed > OWNER_S
            if (may_end and now - held.asked > self._idle_s) or has_lost_owner:
                await self.leave(world_id)
        self._left = [(due, thread) for due, thread in self._left if thread.is_alive]
        return EnvironmentStatus(worlds=len(self._held), stuck=sum(due < now for due, _ in self._left))

    # ------------------------------------------------------------------ before a run, and at its end

    async def try_out(self, prompts: Sequence[Prompt]) -> dict[str, Observation]:
        """Make a world for each prompt, have it look at what it needs, reset it, and take a turn in it: without text,
        and with a call of a tool that there is not where there are tools. Returns what each environment begins with.
        Raises UserError.
        """
        begun_with = {}
        for prompt in prompts:
            try:
                begun_with[prompt.environment] = await self._tried(prompt)
            except UserError as error:
                raise UserError(f"environment {prompt.environment}: {error}") from error
            except EnvironmentFailed as error:
                raise UserError(f"{error}{_where(error, prompt)}") from error
            except InfrastructureError as error:
                raise UserError(f"environment {prompt.environment}: {error}") from error
        return begun_with

    async def close(self) -> None:
        """Close every world, and what they share; return when all are closed."""
        for world_id in list(self._held):
            await self.leave(world_id)
        if self._closing:
            await asyncio.wait(self._closing)
        await self._context.close()

    async def _tried(self, prompt: Prompt) -> Observation:
        source = self._sources[prompt.environment]
        held = self._new(source)
        try:
            if (look := getattr(held.world, "check", None)) is not None:
                await self._within("check", held, look())
            found = begun(await self._within("reset", held, held.world.reset(prompt, 0)), prompt, name=source.name)
            if found.is_agents:
                return found
            action = Action(content="", text="", calls=(ToolCall("no_such_tool", {}),) if found.tools else ())
            try:
                await self._stepped(held, action)
            except EnvironmentFailed as error:
                said = "a call of a tool that there is not" if found.tools else "no text"
                raise EnvironmentFailed(f"{error}; it was given a turn with {said}", error.kind) from error
            return found
        finally:
            await self._close(held)

    # ------------------------------------------------------------------ a world

    def _found(self, world_id: str) -> _Held:
        held = self._held.get(world_id)
        if held is None:
            raise EnvironmentLost(f"environment {world_id}: its world was closed, since nobody asked for it any more")
        held.asked = time.monotonic()
        return held

    def _give_back(self, held: _Held) -> None:
        """Let another agent run, if this one may."""
        if held.place == "had":
            self._places.release()
        held.place = "none"

    def _new(self, source: WorldSource) -> _Held:
        if source.is_shipped:
            return _Held(source.name, source.made(self._context), time.monotonic())
        own = OwnWorld(source.name, lambda: source.made(self._context), maker=source.maker())
        return _Held(source.name, own, time.monotonic())

    async def _stepped(self, held: _Held, action: Action) -> Observation | Done:
        world = cast("Environment | OwnWorld", held.world)
        return answered(await self._within("step", held, world.step(action)), name=held.name)

    async def _within(self, method: str, held: _Held, work: Awaitable[T]) -> T:
        """Return what a method returns. It runs as a task of its own, which is left behind if it swallows its
        cancellation."""
        key = "step_timeout_s" if method in ("step", "run") else "reset_timeout_s"
        seconds = getattr(self._config, key)
        call = held.call = asyncio.ensure_future(guarded(work))
        try:
            if held.out_of_time is not None:
                await _first(call, held.out_of_time)
            done, _ = await asyncio.wait({call}, timeout=seconds)
            if not done:
                method = "the end of its agent" if method == "run" else method
                raise EnvironmentFailed(
                    f"environment {held.name}: {method} took longer than environment.{key}={seconds:g}",
                    f"{method} took longer than environment.{key}",
                )
            return cast(T, call.result())
        except Raised as error:
            raise self._told(method, held, error.error) from error.error
        except asyncio.CancelledError:
            if call.cancelled():  # by leave
                raise EnvironmentLost(f"environment {held.name}: the world was left while its {method} ran") from None
            raise
        finally:
            call.cancel()
            held.call = None

    def _told(self, method: str, held: _Held, error: BaseException) -> Exception:
        """Return what a method's exception is for those who entered: one that can travel."""
        if isinstance(held.world, OwnWorld):
            method = held.world.calls
        if isinstance(error, EnvironmentFailed | EnvironmentLost | InfrastructureError):
            return error
        if isinstance(error, UserError):  # it says itself what is missing
            return EnvironmentFailed(f"environment {held.name}: {error}", f"{method} raised UserError")
        said = "".join(traceback.format_exception_only(type(error), error)[-1:]).strip()
        code = held.world.code if isinstance(held.world, OwnWorld) else getattr(held.world, method, held.world)
        place = place_in(error.__traceback__, code)
        return EnvironmentFailed(
            f"environment {held.name}: {method} raised {shortened(said, MAX_MESSAGE)}",
            f"{type(error).__name__} at {place}" if place else type(error).__name__,
            shortened("".join(traceback.format_exception(error)), MAX_TRACEBACK),
        )

    async def _close(self, held: _Held) -> None:
        """Close a world within a bound. What it raises is noted: its trajectory has ended."""
        if isinstance(held.world, OwnWorld):
            self._left.append((time.monotonic() + CLOSE_S, held.world.thread))
        call = asyncio.ensure_future(guarded(held.world.close()))
        done, _ = await asyncio.wait({call}, timeout=CLOSE_S)
        if not done:
            call.cancel()
            logger.warning("environment %s: close took longer than %g s; it is left behind", held.name, CLOSE_S)
        elif (error := call.exception()) is not None:
            if isinstance(error, Raised):
                error = error.error
            logger.warning("environment %s: close raised %s: %s", held.name, type(error).__name__, error)


async def _first(call: asyncio.Future[Any], event: asyncio.Event) -> None:
    """Return once a call has ended, or an event is set."""
    waiting = asyncio.ensure_future(event.wait())
    try:
        await asyncio.wait({call, waiting}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        waiting.cancel()


def _where(error: EnvironmentFailed, prompt: Prompt) -> str:
    """Return the line that raised, and the prompt of the trial; empty where an environment says itself what is
    missing."""
    if error.kind.endswith(UserError.__name__):
        return ""
    place = error.kind.partition(" at ")[2]
    return f" ({f'{place}, ' if place else ''}in a trial with the prompt {prompt.id})"
