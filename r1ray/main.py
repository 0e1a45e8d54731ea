"""The command line: which command runs, where its messages go, and the exit code that its end means.

Commands check their arguments before they import anything heavy, and start nothing for a bad one.
"""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Sequence
from contextlib import suppress
from typing import Protocol

from r1ray import __version__
from r1ray.commands import (
    audit,
    chat,
    doctor,
    evaluate,
    export,
    files,
    keys,
    plan,
    replay,
    report,
    run,
    score,
    status,
    submit,
)
from r1ray.commands.arguments import Parser
from r1ray.commands.overview import OVERVIEW
from r1ray.errors import R1RayError, Terminated, UserError
from r1ray.runtime.exit_codes import DONE, FAULT, INTERRUPTED, TERMINATED, USER
from r1ray.runtime.job_environment import adopt
from r1ray.runtime.termination import interrupts_on_sigterm, was_terminated
from r1ray.runtime.threads import spin_briefly
from r1ray.telemetry.logs import console


class Verb(Protocol):
    """One command: a module of ``commands/``."""

    def parser(self) -> Parser: ...

    def command(self, arguments: Sequence[str]) -> int | None:
        """Do it; returns the exit code, None for 0. Raises R1RayError."""


VERBS: dict[str, Verb] = {
    "run": run,
    "eval": evaluate,
    "chat": chat,
    "score": score,
    "audit": audit,
    "plan": plan,
    "doctor": doctor,
    "export": export,
    "submit": submit,
    "status": status,
    "report": report,
    "replay": replay,
    "keys": keys,
    "files": files,
}
SHOWN = ("run", "eval")
"""Commands whose output is what they log: it goes to stdout as it is, that of the others to stderr, marked."""
RESUMES = {
    "run": "; the same command goes on from the last checkpoint",
    "eval": "; the same command asks what is not answered yet",
}
HELP = {"-h", "--help"}


def main(arguments: Sequence[str]) -> int:
    """Run one command; returns the exit code."""
    if not arguments or arguments[0] in HELP:
        print(OVERVIEW, end="")
        return DONE
    if arguments[0] == "--version":
        print(__version__)
        return DONE
    try:
        return _run(arguments[0], arguments[1:])
    except UserError as error:
        return _ended(f"{error}", USER)
    except Terminated as error:
        return _ended(f"{error}.", TERMINATED)
    except R1RayError as error:
        return _ended(f"{type(error).__name__}: {error}", FAULT)
    except KeyboardInterrupt:
        return _ended(f"interrupted{RESUMES.get(arguments[0], '')}.", TERMINATED if was_terminated() else INTERRUPTED)
    except BrokenPipeError:  # whoever read the output has had enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FAULT


def entrypoint() -> None:
    """The ``r1ray`` console script."""
    sys.path.insert(0, os.getcwd())  # as for `python -m`: where a user's own reward functions are
    interrupts_on_sigterm()
    spin_briefly()
    adopt()
    try:
        code = main(sys.argv[1:])
    except Exception:  # a fault like any other to who reads the exit code
        traceback.print_exc()
        code = FAULT
    sys.exit(code)


def _run(name: str, arguments: Sequence[str]) -> int:
    verb = VERBS.get(name)
    if verb is None:
        raise UserError(f"{name}: no such command; needs one of {', '.join(VERBS)} (see r1ray --help).")
    if HELP & set(arguments):
        print(verb.parser().format_help(), end="")
        return DONE
    with console(sys.stdout) if name in SHOWN else console(sys.stderr, prefix="r1ray: "):
        return verb.command(arguments) or DONE


def _ended(message: str, code: int) -> int:
    with suppress(OSError):  # the console is gone
        print(f"r1ray: {message}", file=sys.stderr)
    return code
