"""Commands that README files show: those of code blocks, and inline code that begins with ``r1ray VERB`` and has an
override."""

from __future__ import annotations

import re
import shlex
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
_FENCE = re.compile(r"\s*(```|~~~)")
_BLOCK_LINE = re.compile(r"( {4}|\t)")
_COMMAND = re.compile(r"(\$ )?(?P<words>(r1ray|make) .*)", re.DOTALL)
_INLINE = re.compile(r"(?<!`)`(?P<words>r1ray\s[^`]+)`(?!`)")
_PROSE = re.compile(r"\s{2,}[^=\s-].*")
"""Of a ``make`` line: what explains it stands behind two spaces."""


@dataclass(frozen=True, slots=True)
class Line:
    """One command, and where it stands."""

    readme: str
    """Relative to the repository."""
    number: int
    """Of the line, from 1."""
    text: str
    """The command as it is typed, on one line and without its comment."""
    is_inline: bool

    @property
    def program(self) -> str:
        """``r1ray`` or ``make``."""
        return self.text.partition(" ")[0]

    @property
    def words(self) -> list[str]:
        """Arguments of the program, without redirections and what follows a pipe."""
        lexer = shlex.shlex(self.text, posix=True, punctuation_chars="><|&;")
        lexer.whitespace_split, lexer.commenters = True, ""
        words = list(lexer)[1:]
        ends = [index for index, word in enumerate(words) if word in (">", ">>", "2>", "|", "&&", ";", "&")]
        return words[: ends[0]] if ends else words

    def __str__(self) -> str:
        return f"{self.readme}:{self.number}: {self.text}"


def readmes() -> list[str]:
    """Return the README files of the repository, those that are new included."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "*README.md"]
    found = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.splitlines()
    return sorted(path for path in set(found) if (ROOT / path).is_file())


def all_lines() -> list[Line]:
    """Return the commands of every README."""
    return [line for path in readmes() for line in lines_of((ROOT / path).read_text(encoding="utf-8"), path)]


def lines_of(text: str, readme: str) -> list[Line]:
    """Return the commands of a README, in their order."""
    blocks, prose = _split(text)
    found = [*_commands(blocks, readme), *_inline(prose, readme)]
    return sorted(found, key=lambda line: line.number)


def _split(text: str) -> tuple[list[str], list[str]]:
    """Return the lines of code blocks and those of prose, each with the other kind's lines empty."""
    blocks, prose = [], []
    is_fenced, may_begin = False, True  # an indented line directly below prose belongs to it
    for line in text.splitlines():
        is_fence = _FENCE.match(line) is not None
        is_fenced ^= is_fence
        is_code = not is_fence and (is_fenced or (may_begin and _BLOCK_LINE.match(line) is not None))
        may_begin = is_code or not line.strip()
        blocks.append(line if is_code else "")
        prose.append("" if is_code or is_fence else line)
    return blocks, prose


def _commands(blocks: list[str], readme: str) -> Iterator[Line]:
    numbered = iter(enumerate(blocks, start=1))
    for number, first in numbered:
        line = first.strip()
        while line.endswith("\\"):
            line = line[:-1].rstrip() + " " + next(numbered, (0, ""))[1].strip()
        if found := _COMMAND.fullmatch(line):
            command = without_comment(found["words"])
            yield Line(readme, number, _PROSE.sub("", command) if command.startswith("make") else command, False)


def _inline(prose: list[str], readme: str) -> Iterator[Line]:
    text = "\n".join(prose)
    for found in _INLINE.finditer(text):
        if "=" in found["words"] and "\n\n" not in found["words"]:
            yield Line(readme, text.count("\n", 0, found.start()) + 1, " ".join(found["words"].split()), True)


def without_comment(command: str) -> str:
    """Return a command without what a shell takes for a comment.

    >>> without_comment("r1ray score 'a #1.jsonl'   # the model's")
    "r1ray score 'a #1.jsonl'"
    """
    quote = ""
    for index, character in enumerate(command):
        if character == "#" and not quote and command[index - 1].isspace():
            return command[:index].rstrip()
        if character in "'\"" and quote in ("", character):
            quote = "" if quote else character
    return command.rstrip()
