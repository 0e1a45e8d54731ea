"""Tools of one trajectory: ``list``, ``read``, ``edit``, ``write`` and ``run``, on a working tree of its own.

The tree is in the environment worker's memory: a path is only a name there. Only ``run`` uses the sandbox, with a copy;
the files that the command leaves become the tree. Calls of a turn are served in order.
"""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Sequence

from r1ray.environments.repository.runner import Ran, RepositoryRunner
from r1ray.environments.repository.trees import Tree, path_problem, tree_problem
from r1ray.environments.tools.function_tool import FunctionTool
from r1ray.errors import ToolFailed
from r1ray.interfaces import Tool

MAX_LISTED = 200
MAX_LINES = 200
"""Largest number of lines in one answer of ``read``."""
MAX_OUTPUT = 6000
"""Longest output of a command, in characters; a longer one loses its beginning, where test runners print least."""
OUT_OF_CPU = 128 + signal.SIGXCPU
"""Exit code of a shell whose program was ended by this signal."""
ENDED = {
    "cpu": "it had computed for {cpu_s:.1f} s",
    "wall": "it had run for {wall_s:.1f} s",
    "late": "it had run for {wall_s:.1f} s",
    "output": "it printed, or wrote, too much",
    "memory": "it needed more memory than there is",
}


class WorkingTree:
    """Files of one trajectory, and the tools that change them."""

    def __init__(self, tree: Tree, runner: RepositoryRunner) -> None:
        self.tree, self._runner = dict(tree), runner
        self._turn = asyncio.Lock()

    def tools(self) -> Sequence[Tool]:
        """Return the tools. The policy sees their docstrings."""

        async def list(folder: str = "") -> str:
            """List the files of the repository, or of a folder."""
            async with self._turn:
                return self._list(folder)

        async def read(path: str, first: int = 1, last: int | None = None) -> str:
            """Read a file, or its lines from first to last."""
            async with self._turn:
                return self._read(path, first, last)

        async def edit(path: str, old: str, new: str) -> str:
            """Replace a text that is in a file exactly once."""
            async with self._turn:
                return self._edit(path, old, new)

        async def write(path: str, content: str) -> str:
            """Write a whole file."""
            async with self._turn:
                return self._write(path, content)

        async def run(command: str) -> str:
            """Run a shell command in the repository, such as python -m unittest."""
            async with self._turn:
                return await self._run(command)

        return [FunctionTool(each) for each in (list, read, edit, write, run)]

    # ------------------------------------------------------------------ files

    def _list(self, folder: str) -> str:
        prefix = "" if folder.strip("./") == "" else f"{folder.removeprefix('./').rstrip('/')}/"
        found = sorted(path for path in self.tree if path.startswith(prefix))
        if not found:
            raise ToolFailed(f"there is no folder {folder[:200]!r}")
        more = [f"[and {len(found) - MAX_LISTED} more]"] if len(found) > MAX_LISTED else []
        return "\n".join([*found[:MAX_LISTED], *more])

    def _read(self, path: str, first: int, last: int | None) -> str:
        lines = self._text(path).splitlines()
        if not lines:
            return "[the file is empty]"
        if first < 1 or first > len(lines) or (last is not None and last < first):
            raise ToolFailed(f"{path} has the lines 1 to {len(lines)}")
        end = min(len(lines) if last is None else last, len(lines), first + MAX_LINES - 1)
        more = f"\n[lines {end + 1} to {len(lines)} follow]" if end < len(lines) else ""
        return "\n".join(f"{number} {lines[number - 1]}" for number in range(first, end + 1)) + more

    def _edit(self, path: str, old: str, new: str) -> str:
        text = self._text(path)
        if not old:
            raise ToolFailed("old is empty: needs a text of the file")
        if (count := text.count(old)) != 1:
            raise ToolFailed(f"old is {'not' if count == 0 else f'{count} times'} in {path}: needs a text that is once")
        self._put(path, text.replace(old, new))
        return f"{path}: replaced, at line {text[: text.index(old)].count(chr(10)) + 1}"

    def _write(self, path: str, content: str) -> str:
        if (problem := path_problem(path.removeprefix("./"))) is not None:
            raise ToolFailed(f"the path {path[:200]!r} {problem}")
        self._put(path, content)
        return f"{path}: {len(content.splitlines())} lines"

    def _put(self, path: str, text: str) -> None:
        tree = {**self.tree, path.removeprefix("./"): text.encode("utf-8", "replace")}
        if (problem := tree_problem(tree)) is not None:
            raise ToolFailed(f"that would be too much: {problem}")
        self.tree = tree

    def _text(self, path: str) -> str:
        content = self.tree.get(path.removeprefix("./"))
        if content is None:
            raise ToolFailed(f"there is no file {path[:200]!r}; list says which there are")
        try:
            return content.decode()
        except UnicodeDecodeError:
            raise ToolFailed(f"{path} is no text") from None

    # ------------------------------------------------------------------ commands

    async def _run(self, command: str) -> str:
        if "\0" in command or len(command) > MAX_OUTPUT:
            raise ToolFailed(f"a command has at most {MAX_OUTPUT} characters, and no NUL")
        ran = await self._runner.run(self.tree, command)
        if ran.tree is not None:
            self.tree = ran.tree
        told = _told(ran)
        if ran.run.ended in ENDED:
            raise ToolFailed(told)
        return told


def _told(ran: Ran) -> str:
    """Return the text for the policy about a command."""
    printed = (ran.run.stdout + ran.run.stderr).decode("utf-8", "replace").strip("\n")
    if len(printed) > MAX_OUTPUT:
        printed = f"[{len(printed) - MAX_OUTPUT} characters are left out here]\n{printed[-MAX_OUTPUT:]}"
    notes = []
    if ran.run.ended in ENDED:
        notes.append(
            f"[The command was ended: {ENDED[ran.run.ended].format(cpu_s=ran.run.cpu_s, wall_s=ran.run.wall_s)}.]"
        )
    elif ran.run.exit_code == OUT_OF_CPU:
        notes.append("[The command was ended: it had computed for too long.]")
    elif ran.run.exit_code:
        notes.append(f"[exit code {ran.run.exit_code}]")
    if ran.tree is None:
        notes.append(f"[What it did to files is not kept: {ran.why_not_kept}.]")
    return "\n".join(filter(None, (printed, *notes))) or "[no output]"
