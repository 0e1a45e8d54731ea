"""Tasks with a harness of their own (Aider, SWE-bench), for which a command of the user judges each response.

    {"task": {...}, "prompt", "response", "answer"} --stdin--> command --stdout--> {"passed": bool, "score"?, "detail"?}

The last line of its output decides. The command runs with the user's rights, in a process group of its own that is
ended as a whole. A missed deadline, an exit code other than 0 or output without a result is a failure of the harness
and never a score. A command that runs a model's code has to isolate it; most harnesses use containers.
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
"""Bytes kept from the end of an output."""


async def command_score(check: ExternalCommand, asked: str, text: str) -> Score:
    """Return the command's score of a response.

    Raises:
        UserError: there is no such command.
        InfrastructureError: the command failed or missed its deadline.
    """
    request = {"task": json.loads(check.task), "prompt": asked, "response": text, "answer": final_text(text)}
    output = await run_command(check.argv, json.dumps(request), deadline_s=check.deadline_s)
    said = last_object(output)
    if not isinstance(said.get("passed"), bool):
        raise InfrastructureError(f'{check.argv[0]} printed no {{"passed": true or false}}: {_tail(output)!r}')
    score = said.get("score")
    is_number = isinstance(score, int | float) and not isinstance(score, bool) and 0 <= score <= 1
    value = float(score) if is_number else float(said["passed"])  # type: ignore[arg-type]
    label = "correct" if said["passed"] else "wrong"
    return Score(value, label, request["answer"] or None, str(said.get("detail") or "")[:500])


async def run_command(argv: tuple[str, ...], stdin: str, *, deadline_s: float) -> bytes:
    """Run a command and return its output. All processes that it started end with it.

    Raises:
        UserError: there is no such command.
        InfrastructureError: an exit code other than 0, or a missed deadline.
    """
    with tempfile.TemporaryFile() as given, tempfile.TemporaryFile() as output, tempfile.TemporaryFile() as errors:
        given.write(stdin.encode("utf-8", "surrogatepass"))
        given.seek(0)
        try:  # files, not pipes: a process that it leaves behind cannot block a reader
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
    """Return the JSON object in the last line of an output; an empty one if that line has none."""
    lines = output.decode(errors="replace").strip().splitlines()
    try:
        said = json.loads(lines[-1]) if lines else {}
    except (ValueError, RecursionError):
        return {}
    return said if isinstance(said, dict) else {}


def _tail(output: bytes) -> str:
    return output[-300:].decode(errors="replace").strip()
