"""The questions of a collection: every prompt in every way in which the model is asked.

prompts x collect.ways --> Question; ``rewrite`` only where another collection has a right response
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from r1ray.checks import Check, CodeTests, FormatOnly, Instructions, Judged, Pairwise
from r1ray.config import CollectConfig
from r1ray.curation.writing import BOXED, FEW_SHOT, PLAIN, PROGRAM, REWRITE, SUMMARY, Shot, asked
from r1ray.data import template
from r1ray.data.checks import load_check
from r1ray.data.layouts import RawPrompt
from r1ray.data.prompts import untemplated
from r1ray.data.spool import SpooledRows, rows_of
from r1ray.data.template import Form
from r1ray.errors import UserError
from r1ray.stages.evaluate.asking import read_answers
from r1ray.types import Prompt

Render = Callable[[template.Question], str]
"""Makes of a question the text that the model is given."""


@dataclass(frozen=True, slots=True)
class Question:
    """A prompt in one of the ways."""

    raw: RawPrompt
    way: str
    prompt: Prompt


def questions_of(
    prompts: Sequence[RawPrompt], settings: CollectConfig, *, render: Render, form: Form
) -> list[Question]:
    """Return every prompt in each of ``collect.ways``. Raises UserError where there is nothing to ask, and for another
    way than ``plain`` in an environment."""
    in_world = next((raw for raw in prompts if raw.environment), None)
    if in_world is not None and settings.ways != [PLAIN]:
        raise UserError(
            f"collect.ways={settings.ways}: prompt {in_world.id} is in the environment {in_world.environment}, and "
            "is asked there as it is; needs collect.ways=[plain]."
        )
    shots = read_shots(settings.examples)[: settings.num_examples] if settings.examples else []
    responses = right_responses(settings.responses) if settings.responses else {}
    questions = [
        _question(raw, way, render=render, form=form, shots=shots, responses=responses)
        for raw in prompts
        for way in settings.ways
        if way != REWRITE or raw.id in responses
    ]
    if not questions:
        raise UserError(f"collect.responses={settings.responses}: has no right response to any prompt.")
    return questions


def _question(
    raw: RawPrompt, way: str, *, render: Render, form: Form, shots: Sequence[Shot], responses: Mapping[str, str]
) -> Question:
    given = asked(
        raw.question,
        way,
        language=raw.language,
        shots=shots if way == FEW_SHOT else (),
        response=responses.get(raw.id, ""),
        end=_end_of(raw.check),
    )
    return Question(raw, way, replace(untemplated(raw, form), id=f"{raw.id}/{way}", text=render(given)))


def _end_of(check: Check) -> str:
    """Return what the check of a prompt looks at in the end."""
    if isinstance(check, CodeTests):
        return PROGRAM
    return SUMMARY if isinstance(check, FormatOnly | Judged | Pairwise | Instructions) else BOXED


def raw_prompts(spool: Path) -> Iterator[RawPrompt]:
    """Read the prompts that :func:`r1ray.data.prompt_rows.spool_prompts` has written."""
    rows = SpooledRows(spool)
    for index in range(len(rows)):
        (row,) = rows.row(index).to_pylist()
        question, check = json.loads(row["question"]), load_check(row["check"])
        yield RawPrompt(row["id"], question, check, row["domain"], row["language"], row["columns"], row["environment"])


def text_of(raw: RawPrompt) -> str:
    """Return what is asked, as one text."""
    asked_first = raw.question
    return asked_first if isinstance(asked_first, str) else "\n".join(message["content"] for message in asked_first)


def read_shots(path: str) -> list[Shot]:
    """Read the examples of ``few_shot``. Raises UserError where a column is missing."""
    shots = []
    for number, row in rows_of(path, key="collect.examples"):
        try:
            shots.append(Shot(str(row["prompt"]), str(row["reasoning"]), str(row["summary"])))
        except KeyError as error:
            raise UserError(
                f"collect.examples={path}: row {number} has no {error.args[0]}; needs prompt, reasoning and summary."
            ) from error
    return shots


def right_responses(path: str) -> dict[str, str]:
    """Return the shortest right response to each prompt, of another collection's folder. Raises UserError."""
    samples = Path(path).expanduser().parent / "samples.jsonl"
    if not samples.exists():
        raise UserError(f"collect.responses={path}: {samples} is not there; needs what recipe=collect made.")
    best: dict[str, str] = {}
    for question in read_answers(samples).values():
        right = sorted((s.num_tokens, s.text) for s in question.samples if s.is_right)
        if right:
            best.setdefault(question.id.rpartition("/")[0], right[0][1])
    return best
