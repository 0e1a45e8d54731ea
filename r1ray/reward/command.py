"""Tasks with a harness of their own (Aider, SWE-bench): a command of the user's judges each response.

    {"task": {...}, "prompt", "response", "answer"} --stdin--> command --stdout--> {"passed": bool, "score"?, "detail"?}

The last line of its output decides. The command is the user's own and runs with the user's rights, in a process group
of its own that is ended as a whole. A deadline that passes, an exit code but 0, or output that says nothing is the
harness's failure and never a score. A command that runs what a model wrote has to isolate it: most harnesses use
containers.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import subprocess
import tempfile
from collections.abc import Mapping
from typing import IO

from r1ray.checks import ExternalCommand
from r1ray.errors import InfrastructureError, UserError
from r1ray.reward.judged import final_text
from r1ray.types import Score

MAX_OUTPUT = 1 << 20
"""Bytes that are kept of an output, from its end."""


async def command_score(check: ExternalCommand, asked: str, text: str) -> Score:
    """What the command says of a response.

    Raises:
        UserError: there is no such command.
        InfrastructureError: it failed, or took longer than its deadline.
    """
    request = {"task": json.loads(check.task), "prompt": asked, "response": text, "answer": final_text(text)}
    output = await run_command(check.argv, json.dumps(request), deadline_s=check.deadline_s)
    said = last_object(output)
    if not isinstance(said.get("passed"), bool):
        raise InfrastructureError(f'{check.argv[0]} said no {{"passed": true or false}}: {_tail(output)!r}')
    score = said.get("score")
    is_number = isinstance(score, int | float) and not isinstance(score, bool) and 0 <= score <= 1
    value = float(score) if is_number else float(said["passed"])  # type: ignore[arg-type]
    label = "correct" if said["passed"] else "wrong"
    return Score(value, label, request["answer"] or None, str(said.get("detail") or "")[:500])


async def run_command(argv: tuple[str, ...], stdin: str, *, deadline_s: float) -> bytes:
    """What a command prints. Whatever it started ends with it.

    Raises:
        UserError: there is no such command.
        InfrastructureError: an exit code but 0, or its deadline passed.
    """
    with tempfile.TemporaryFile() as given, tempfile.TemporaryFile() as output, tempfile.TemporaryFile() as errors:
        given.write(stdin.encode("utf-8", "surrogatepass"))
        given.seek(0)
        try:  # files, not pipes: what it leaves behind cannot hold anybody up
            process = subprocess.Popen(argv, stdin=given, stdout=output, stderr=errors, start_new_session=True)
        except (FileNotFoundError, PermissionError) as error:
            raise UserError(f"command={list(argv)}: {argv[0]} cannot be started: {error.strerror}.") from error
        except OSError as error:
            raise InfrastructureError(f"{argv[0]} cannot be started: {error}") from error
        try:
            code = await asyncio.to_thread(process.wait, deadline_s)
        except subprocess.TimeoutExpired as error:
            raise InfrastructureError(
                f"{argv[0]} took longer than its {deadline_s:g} s for one task; see deadline_s of the benchmark"
            ) from error
        finally:
            _end_group(process.pid)
            process.wait()
        if code != 0:
            raise InfrastructureError(f"{argv[0]} ended with exit code {code}: {_tail(_end_of(errors))}")
        return _end_of(output)


def _end_group(leader: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(leader, signal.SIGKILL)


def _end_of(file: IO[bytes]) -> bytes:
    file.seek(max(0, file.seek(0, os.SEEK_END) - MAX_OUTPUT))
    return file.read()


def last_object(output: bytes) -> Mapping[str, object]:
    """Return the JSON object in the last line of an output; an empty one where that holds none."""
    lines = output.decode(errors="replace").strip().splitlines()
    try:
        said = json.loads(lines[-1]) if lines else {}
    except (ValueError, RecursionError):
        return {}
    return said if isinstance(said, dict) else {}


def _tail(output: bytes) -> str:
    return output[-300:].decode(errors="replace").strip()
