"""``r1ray score``: rewards of responses that are there already."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TextIO

from r1ray.commands.arguments import Parser
from r1ray.commands.compose import compose
from r1ray.config import ScoreConfig
from r1ray.config.keys import sections_of
from r1ray.errors import UserError
from r1ray.runtime.files import written_aside
from r1ray.runtime.user_paths import path_of, writing

KEY = re.compile(r"~[\w.]+$|[^=]*=")
"""Word that sets a key, or takes one out."""
OF_WORLDS = re.compile(r"[+~]*environment[.=]")


def parser() -> Parser:
    """Return the parser of the command's arguments."""
    return Parser(
        "score",
        'Score given responses. FILE has rows {"id", "check", "response", "prompt"?, "language"?}, as JSON lines or\n'
        "Parquet. One outcome a line goes to stdout, or to output=FILE; counts and the mean go to stderr.",
        usage="FILE [reward=check|r1_zero|reasoning] [output=FILE] [key=value ...]",
        word="FILE, key=value",
        meaning="the file, and overrides of the configuration",
        examples="""
            r1ray score responses.jsonl > outcomes.jsonl
            r1ray score responses.parquet reward=r1_zero output=outcomes.jsonl
        """,
        sections=lambda: sections_of(ScoreConfig),
    )


def command(arguments: Sequence[str]) -> None:
    """Score a file of responses."""
    given = parser().read(arguments)
    words = given.words
    files = [word for word in words if os.path.isfile(word) or not KEY.match(word)]
    if len(files) != 1:
        raise UserError(
            f"score needs one FILE and key=value overrides, found {len(files)} files: {', '.join(files) or 'none'}."
        )
    overrides = [word for word in words if word not in files]
    if of_worlds := next((word for word in overrides if OF_WORLDS.match(word)), None):
        raise UserError(
            f"{of_worlds}: score runs no environment, nor an agent's command; rows have the parts that theirs gave, in "
            "final_rewards and turn_rewards. `r1ray eval model=PATH environment=NAME ...` has a model play them."
        )
    config = compose(overrides, schema=ScoreConfig, name="score", config_dir=given.config_dir)
    from r1ray.evaluation.score_file import score_file

    if config.output is None:
        with writing("the standard output"):
            score_file(files[0], config.reward, config.sandbox, sys.stdout)
        return
    with writing(f"output={config.output}"), _written(config.output, of=files[0]) as sink:
        score_file(files[0], config.reward, config.sandbox, sink)


@contextmanager
def _written(text: str, *, of: str) -> Iterator[TextIO]:
    """Yield a file that gets its name at the end, so that no old result is lost before; a device, or a pipe, is written
    at once. Raises UserError for a path that cannot be written, or that is the file of responses, ``of``."""
    output, source = path_of(text, key="output"), path_of(of, key="")
    if output.is_dir() or not output.parent.is_dir():
        raise UserError(f"output={text}: cannot be written: needs the path of a file in a folder that is there.")
    if output.exists() and source.exists() and output.samefile(source):
        raise UserError(f"output={text}: is the file of responses, {of}, which would be lost; needs another path.")
    if output.exists() and not output.is_file():
        with output.open("w", encoding="utf-8") as sink:
            yield sink
        return
    with written_aside(output) as aside, aside.open("w", encoding="utf-8") as sink:
        yield sink
