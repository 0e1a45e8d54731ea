"""``r1ray chat``: talk to a model."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Sequence
from typing import Any

from r1ray.commands.arguments import Parser
from r1ray.commands.run_dir_words import split_words
from r1ray.config.data import TEMPLATES
from r1ray.config.values import one_of
from r1ray.errors import UserError
from r1ray.runtime.harmless import harmless


def _template(text: str) -> str:
    one_of("template", text, TEMPLATES)
    return text


KEYS: dict[str, Callable[[str], Any]] = {
    "temperature": float,
    "top_p": float,
    "max_tokens": int,
    "seed": int,
    "template": _template,
    "system_prompt": str,
}
"""Keys of an evaluation, and what reads them."""


def parser() -> Parser:
    """Return the parser of the command's arguments."""
    made = Parser(
        "chat",
        "Talk to a model, on one engine as training has it. Of a run the best model answers, or the last one, with\n"
        "the run's template, system prompt and the sampling of its evaluations. A model of no run is asked as it was\n"
        "tuned, if its folder says how, else by its chat template. Ctrl-C ends an answer, /new the conversation,\n"
        "Ctrl-D the chat.",
        usage="MODEL|RUN_DIR [key=value ...]",
        word="MODEL|RUN_DIR, key=value",
        meaning="a Hugging Face model folder or hub name, or the folder of a run; and how it is asked and sampled: "
        f"{', '.join(KEYS)}",
        examples="""
            r1ray chat runs/mine
            r1ray chat runs/mine/hf/120 temperature=0.2
            r1ray chat /models/base --once "What is 17 * 3?"
        """,
        composes=False,
    )
    made.flags.add_argument("--once", metavar="TEXT", help="print the answer to TEXT alone, and end")
    return made


def command(arguments: Sequence[str]) -> None:
    """Talk until the user ends it, or answer once."""
    given = parser().read(arguments)
    where, values = split_words(given.words, verb="chat", keys=KEYS)
    settings = {key: _read(key, text) for key, text in values.items()}
    if given.once is not None and not given.once.strip():
        raise UserError("--once: needs a text.")
    from r1ray.mirror.view import folder_of
    from r1ray.stages.chat.partner import partner_of
    from r1ray.stages.chat.talking import answer_once, talk

    partner = partner_of(folder_of(where, with_units=True), settings=settings)
    if given.once is None:
        asyncio.run(talk(partner))
    else:
        print(shown(asyncio.run(answer_once(partner, given.once))))


def shown(answer: str) -> str:
    """Return an answer as it is printed: harmless on a terminal, as it is where a program reads it."""
    return harmless(answer) if sys.stdout.isatty() else answer


def _read(key: str, text: str) -> Any:
    """Return a value. Raises UserError."""
    try:
        return KEYS[key](text)
    except ValueError as error:
        why = str(error) if str(error).startswith(key) else f"{key}={text}: needs a number."
        raise UserError(why) from error
