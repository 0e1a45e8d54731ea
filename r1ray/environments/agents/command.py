"""Commands of agents: the program, placeholders, variables, and the secrets that must not appear in messages."""

from __future__ import annotations

import os
import re
import shutil
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from r1ray.environments.agents.walls import interpreter_of
from r1ray.errors import UserError
from r1ray.runtime.harmless import harmless
from r1ray.runtime.leftovers import VARIABLE

PLACEHOLDERS = ("prompt", "prompt_file", "base_url", "api_key", "model", "seed")
LONGEST_WORD = 1 << 17
"""Longest word of a command on Linux. Unit: bytes."""
PACKAGE = Path(__file__).resolve().parents[2]
PYTHON = ("python", "python3")
HIDDEN = "***"
_PLACE = re.compile("{(" + "|".join(PLACEHOLDERS) + ")}")
_SECRET = re.compile(r"KEY|TOKEN|SECRET|PASSWORD|CREDENTIAL", re.IGNORECASE)
_LEAST_SECRET = 6
"""Least length of a value that is taken for a secret. Unit: characters."""


def with_program(command: Sequence[str | int | float], *, key: str) -> tuple[str, ...]:
    """Return a command whose first word is the path of a program, and in which words that name a file here are replaced
    by its path. ``python`` is the interpreter of this process. Raises UserError if there is no such program.

    Args:
        key: configuration key of the command.
    """
    words = [str(word) for word in command] if not isinstance(command, str) else []
    if not words or not words[0] or any("\0" in word for word in words):
        raise UserError(f"{key}={command!r:.200}: needs a list of a program and its words: [python, my_agent.py].")
    program = sys.executable if words[0] in PYTHON else words[0]
    found = program if "/" in program else shutil.which(program)
    if found is None:
        raise UserError(f"{key}={words}: there is no program {program} in PATH; needs its path.")
    if problem := _program_problem(Path(found)):
        raise UserError(f"{key}={words}: {found} {problem}.")
    return (os.path.abspath(found), *map(_path_of, words[1:]))


def _path_of(word: str) -> str:
    """Return the path of the file that a word names, here or in this package; any other word is returned unchanged."""
    places = [Path.cwd()] + ([PACKAGE.parent] if word.startswith(f"{PACKAGE.name}/") else [])
    try:
        return next((str(place / word) for place in places if (place / word).is_file()), word)
    except OSError:  # too long for a name
        return word


def _program_problem(path: Path) -> str | None:
    """Return the reason why a file cannot be started; None if it can."""
    if not path.is_file():
        return "does not exist" if not path.exists() else "is not a file"
    if not os.access(path, os.X_OK):
        return "may not be executed; needs chmod +x"
    with path.open("rb") as file:
        if file.read(4) == b"\x7fELF":
            return None
    interpreter = interpreter_of(str(path))
    if not interpreter:
        return "is not a program; needs a first line such as #!/usr/bin/env python3"
    return None if os.path.exists(interpreter) else f"needs {interpreter}, which does not exist"


def filled(text: str, values: Mapping[str, str]) -> str:
    """Return a word with its placeholders filled in.

    >>> filled("openai/{model} {other}", {"model": "policy"})
    'openai/policy {other}'
    """
    return _PLACE.sub(lambda found: values.get(found[1], found[0]), text)


def uses(command: Sequence[str], env: Mapping[str, str], name: str) -> bool:
    """Return whether a command or its variables contain a placeholder."""
    return any(f"{{{name}}}" in word for word in (*command, *env.values()))


def own_variables(env: Mapping[str, str | int | float | bool | None], *, key: str) -> dict[str, str]:
    """Return the variables that the user names; the value None stands for the value in this process. Raises UserError
    for a variable that is missing here, or has an invalid name."""
    found = {}
    for name, value in env.items():
        if value is None and name not in os.environ:
            raise UserError(f"{key}.{name}=null: the environment of r1ray has no such variable; needs a value.")
        if not name or "=" in name or "\0" in f"{name}{value}":
            raise UserError(f"{key}.{name}: is not a name of a variable, or has a value that no variable can have.")
        found[name] = os.environ[name] if value is None else str(value)
    return found


def variables(program: str, *, home: str, tmp: str) -> dict[str, str]:
    """Return the variables of every command: few, and none of this process's secrets."""
    path = os.environ.get("PATH", os.defpath)
    scratch = {VARIABLE: os.environ[VARIABLE]} if VARIABLE in os.environ else {}
    return {
        "PATH": f"{Path(program).parent}:{path}",
        "HOME": home,
        "TMPDIR": tmp,
        "LANG": "C.UTF-8",
        "TERM": "dumb",
        "PYTHONDONTWRITEBYTECODE": "1",
        **scratch,
    }


def secrets_in(env: Mapping[str, str]) -> list[str]:
    """Return the values of variables that are secrets, the longest first."""
    found = {value for name, value in env.items() if _SECRET.search(name) and len(value) >= _LEAST_SECRET}
    return sorted(found, key=len, reverse=True)


def told(output: bytes, secrets: Sequence[str], *, length: int) -> str:
    """Return the end of an output for people: harmless, and without secrets."""
    text = output.decode("utf-8", "replace")
    for secret in secrets:
        text = text.replace(secret, HIDDEN)
    return harmless(text.strip())[-length:]
