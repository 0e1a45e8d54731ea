"""An agent that somebody else wrote: a command in a folder of its own, which calls the policy at an endpoint.

    reset: a folder, filled --> run: the command, with OPENAI_BASE_URL and OPENAI_API_KEY, until its end, or its time's
                                --> everything that it started is ended --> the judge looks at what it has left --> Done

Its exit code is told and never paid. The parts of the reward are the judge's, and logged alone: ``agent_failed``
(another exit code than 0), ``agent_deadline`` and ``agent_limit`` (it had more memory, or processes, than it may).
"""

from __future__ import annotations

import asyncio
import logging
import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import cast
from urllib.parse import urlsplit

from r1ray.environments.agents.command import (
    LONGEST_WORD,
    filled,
    own_variables,
    secrets_in,
    told,
    uses,
    variables,
    with_program,
)
from r1ray.environments.agents.folder import (
    WORK,
    Files,
    files_problem,
    new_folder,
    put,
    remove_folder,
    renew,
    write_file,
)
from r1ray.environments.agents.forwarder import Forwarder
from r1ray.environments.agents.judge import ROW, parts_of, row_of
from r1ray.environments.agents.process import FREE_BYTES, Ended, Order, run_command
from r1ray.environments.agents.walls import Walls, needed_by, walls_of
from r1ray.environments.world_context import WorldContext
from r1ray.errors import UserError
from r1ray.turns import Access, Done, Message, Observation
from r1ray.types import Prompt

logger = logging.getLogger(__name__)
FILES, JUDGE_FILES = "files", "judge_files"
"""Options, and columns of a row, whose files are put beside those of the option."""
PROMPT_FILE = "prompt.txt"
JUDGE_SHARE = 0.75
"""Part of ``environment.step_timeout_s`` that a judge has."""
SHOWN = 1500
"""Characters of an output that are told."""


class Agent:
    """The command of one trajectory."""

    def __init__(
        self,
        *,
        command: Sequence[str | int | float] | None = None,
        env: Mapping[str, str | int | float | bool | None] | None = None,
        files: Files | None = None,
        judge: Sequence[str | int | float] = (),
        judge_files: Files | None = None,
        judge_json: bool = False,
        judge_timeout_s: float | None = None,
        sandbox: bool = True,
        reads: Sequence[str] = (),
        context: WorldContext | None = None,
    ) -> None:
        """Raises UserError.

        Args:
            command: a program and its words; None: those of ``environment.command``. ``{prompt}``, ``{prompt_file}``,
                ``{base_url}``, ``{api_key}``, ``{model}`` and ``{seed}`` are what they say, in ``env`` too.
            env: further variables; null: as this process has it.
            files: in the folder at the beginning: a folder, an archive, or an object of names and texts.
            judge: a command whose exit code 0 is worth 1 as the part ``judge`` of the reward.
            judge_files: put into the folder once the agent has ended.
            judge_json: the last line that the judge prints is a JSON object of parts of the reward.
            judge_timeout_s: None: three quarters of ``environment.step_timeout_s``.
            sandbox: in the walls of ``sandbox.mode``.
            reads: files and folders that the command reads, beside the system's and its own.
        """
        self._context = context or WorldContext()
        key = "environment.command" if command is None else "options.command"
        self._command = with_program(list(self._context.command) if command is None else command, key=key)
        self._env = own_variables(env or {}, key="options.env")
        self._files: dict[str, Files | None] = {FILES: files, JUDGE_FILES: judge_files}
        for name, given in self._files.items():
            # There is a world for each trajectory, and an archive is read whole to be looked through.
            look = partial(files_problem, given)
            if given is not None and (problem := self._context.shared(f"agent files {given!r}", look)):
                raise UserError(f"options.{name}: {problem}.")
        self._judge = with_program(judge, key="options.judge") if judge else ()
        self._judge_json = judge_json
        if not self._judge and (judge_files is not None or judge_json):
            raise UserError("options.judge_files and judge_json are of a judge; needs options.judge=[program, word].")
        longest_s = math.inf if context is None else context.step_timeout_s
        self._judge_s = JUDGE_SHARE * min(longest_s, 1e6) if judge_timeout_s is None else judge_timeout_s
        if not 0 < self._judge_s < longest_s:
            raise UserError(
                f"options.judge_timeout_s={judge_timeout_s}: needs more than 0 s, and less than "
                f"environment.step_timeout_s={longest_s:g}."
            )
        if missing := [path for path in reads if not Path(path).exists()]:
            raise UserError(f"options.reads: there is no {missing[0]}.")
        self._mode = self._context.sandbox.mode if sandbox else "none"
        self._reads = [str(Path(path).absolute()) for path in reads]
        self._folder: Path | None = None
        self._prompt: Prompt | None = None
        self._seed = 0
        self._idle = asyncio.Event()
        """Not set while a command runs."""
        self._idle.set()

    # ------------------------------------------------------------------ before a run

    def row_problem(self, prompt: Prompt) -> str | None:
        """Return why a row cannot be used, None if it can."""
        task = task_of(prompt)
        try:
            size = len(task.encode())
        except UnicodeEncodeError:
            return "its prompt is no text in UTF-8"
        if uses(self._command, self._env, "prompt") and (size >= LONGEST_WORD or "\0" in task):
            return f"its prompt, of {size} bytes, cannot be a word of a command: needs {{prompt_file}} in its place"
        if JUDGE_FILES in prompt.columns and not self._judge:
            return f"it has a column {JUDGE_FILES}, and the environment no judge"
        for name in self._files:
            given = prompt.columns.get(name)
            if given is not None and (problem := files_problem(given)):
                return f"its column {name}: {problem}"
        return None

    async def check(self) -> None:
        """Put up the walls once. Raises UserError, SandboxUnavailable, InfrastructureError."""
        folder = await asyncio.to_thread(new_folder)
        try:
            order = Order(command=["/bin/sh", "-c", ":"], folder=folder, walls=self._own_walls())
            await run_command(order, asyncio.Event())
        finally:
            await asyncio.to_thread(remove_folder, folder)

    # ------------------------------------------------------------------ a trajectory

    async def reset(self, prompt: Prompt, seed: int) -> Observation:
        """Make the folder."""
        self._prompt, self._seed = prompt, seed
        self._folder = await asyncio.to_thread(new_folder)
        await self._put(FILES)
        (self._folder / PROMPT_FILE).write_text(task_of(prompt), encoding="utf-8", errors="replace")
        return Observation(messages=prompt.messages or (Message("user", prompt.text),), is_agents=True)

    async def run(self, access: Access, out_of_time: asyncio.Event) -> Done:
        """See :class:`r1ray.environments.agent_world.AgentWorld`. Raises InfrastructureError, EnvironmentFailed."""
        assert self._folder is not None and self._prompt is not None, "reset comes first"
        self._idle.clear()
        try:
            ended = await self._ran(access, out_of_time)
            secrets = [access.api_key, *secrets_in(self._env)]
            if ended.num_bytes > FREE_BYTES:
                logger.warning("an agent printed %d MiB, of which the end is kept", ended.num_bytes >> 20)
            parts = {
                "agent_failed": float(ended.code != 0),
                "agent_deadline": float(ended.code is None and not ended.over),
                "agent_limit": float(bool(ended.over)),
            }
            is_late = out_of_time.is_set()
            said = told(ended.output, secrets, length=SHOWN)
            detail = f"{_how(ended, is_late=is_late)}; it printed {ended.num_bytes} bytes: {said}"
            label = "limit" if ended.over else "deadline" if ended.code is None and is_late else "exited"
            if self._judge:
                judged = await self._judged()
                said = told(judged.output, secrets, length=SHOWN)
                parts |= parts_of(judged, said, says_json=self._judge_json)
                detail = f"judge: {_how(judged, is_late=True)}: {said}\n{detail}"
            return Done(rewards=parts, label=label, detail=detail)
        finally:
            self._idle.set()

    async def close(self) -> None:
        """End what runs, and remove the folder."""
        await self._idle.wait()  # it was cancelled before this
        folder, self._folder = self._folder, None
        if folder is not None:
            await asyncio.to_thread(remove_folder, folder)

    async def _ran(self, access: Access, out_of_time: asyncio.Event) -> Ended:
        """Return how the command ended. Raises InfrastructureError."""
        assert self._folder is not None and self._prompt is not None
        address = urlsplit(access.base_url)
        walls = replace(self._own_walls(), port=address.port or 80)
        base_url, inside = walls.base_url(access.base_url), walls.inside(self._folder)
        values = {
            "prompt": task_of(self._prompt),
            "prompt_file": f"{inside}/{PROMPT_FILE}",
            "base_url": base_url,
            "api_key": access.api_key,
            "model": access.model,
            "seed": str(self._seed),
        }
        environment = {
            **self._variables(self._command, inside, walls),
            "R1RAY_PROMPT_FILE": values["prompt_file"],
            "OPENAI_BASE_URL": base_url,
            "OPENAI_API_BASE": base_url,
            "OPENAI_API_KEY": access.api_key,
            "OPENAI_MODEL": access.model,
            **{name: filled(value, values) for name, value in self._env.items()},
        }
        command = [filled(word, values) for word in self._command]
        order = self._order(command, environment, walls)
        if not walls.has_own_network:
            return await run_command(order, out_of_time)
        forwarder = Forwarder(str(address.hostname), address.port or 80)
        try:
            return await run_command(order, out_of_time, listening=forwarder.accept_from)
        finally:
            await forwarder.close()

    async def _judged(self) -> Ended:
        """Return how the judge ended. Nothing of the agent runs any more. Raises InfrastructureError."""
        assert self._folder is not None and self._prompt is not None
        await asyncio.to_thread(renew, self._folder)
        await self._put(JUDGE_FILES)
        await asyncio.to_thread(write_file, self._folder / ROW, row_of(self._prompt, task_of(self._prompt)))
        walls, is_late = self._own_walls(), asyncio.Event()
        inside = walls.inside(self._folder)
        environment = {**self._variables(self._judge, inside, walls), **self._env, "R1RAY_ROW_FILE": f"{inside}/{ROW}"}
        order = self._order(self._judge, environment, walls)
        timer = asyncio.get_running_loop().call_later(self._judge_s, is_late.set)
        try:
            return await run_command(order, is_late)
        finally:
            timer.cancel()

    async def _put(self, name: str) -> None:
        """Put the files of an option, and those of the row, into the folder."""
        assert self._folder is not None and self._prompt is not None
        for files in (self._files[name], self._prompt.columns.get(name)):
            if files is not None:
                await asyncio.to_thread(put, cast(Files, files), self._folder / WORK)

    def _order(self, command: Sequence[str], environment: Mapping[str, str], walls: Walls) -> Order:
        assert self._folder is not None
        limits = self._context.agents
        return Order(command=command, folder=self._folder, environment=environment, walls=walls, limits=limits)

    def _variables(self, command: Sequence[str], inside: str, walls: Walls) -> dict[str, str]:
        tmp = "/tmp" if walls.has_own_network else f"{inside}/tmp"
        return variables(command[0], home=f"{inside}/home", tmp=tmp)

    def _own_walls(self) -> Walls:
        """Return the walls of the environment's commands. Raises SandboxUnavailable."""
        key = f"agent walls {self._mode} {self._command} {self._judge} {self._reads}"
        return self._context.shared(key, self._new_walls)

    def _new_walls(self) -> Walls:
        words = (*self._command[1:], *self._judge[1:])
        paths = [word for word in words if word.startswith("/") and os.path.exists(word)]
        programs = [command[0] for command in (self._command, self._judge) if command]
        return walls_of(self._mode, [*(path for each in programs for path in needed_by(each)), *paths, *self._reads])


def _how(ended: Ended, *, is_late: bool) -> str:
    """Return how a command ended, in words."""
    if ended.over:
        return ended.over
    if ended.code is None:
        return "its time was up" if is_late else "its guard was killed"
    return f"exit code {ended.code}" if ended.code >= 0 else f"ended by signal {-ended.code}"


def task_of(prompt: Prompt) -> str:
    """Return the question as an agent is told it: what the user says."""
    said = [message.content for message in prompt.messages if message.role == "user"]
    return "\n\n".join(said) or prompt.text
