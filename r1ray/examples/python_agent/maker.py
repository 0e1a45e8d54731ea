"""The ``prepare`` stage of ``experiment=python_agent``: the pretrained model with a template that has tools, dialogues
of its cold start, training prompts, held-out prompts."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

from r1ray.examples.prompts import math_row, write_rows
from r1ray.examples.python_agent.task import FAMILIES, SHOWN, Question, sample_questions
from r1ray.examples.smollm2.with_tools import save_model_with_tools

EVAL_SEED = 777
"""The held-out questions are the same for every seed of a run."""
GUESSED = 0.5
"""Share of dialogues of the cold start that guess at once."""
PYTHON: dict[str, Any] = {
    "type": "function",
    "function": {
        "name": "python",
        "description": "",
        "parameters": {"type": "object", "properties": {"code": {"type": "string"}}},
    },
}
"""The tool, as far as the template shows it."""


def make(
    out_dir: Path,
    *,
    seed: int,
    log: Callable[[str], None],
    num_dialogues: int = 96,
    num_train: int = 1200,
    num_eval: int = 60,
) -> None:
    """Write ``model/``, ``cold_start.jsonl``, ``train.parquet`` and ``heldout.parquet`` into ``out_dir``.

    Raises UserError where the packages that hold the model are not installed.
    """
    log(f"  {save_model_with_tools(out_dir / 'model'):,} parameters, pretrained")
    rng = random.Random(seed)
    shown = sample_questions(rng, "train", num_dialogues, families=SHOWN)
    lines = [json.dumps(dialogue_of(question, rng)) for question in shown]
    (out_dir / "cold_start.jsonl").write_text("".join(f"{line}\n" for line in lines))
    every = tuple(FAMILIES)
    write_prompts(out_dir / "train.parquet", sample_questions(rng, "train", num_train, families=every))
    held_out = sample_questions(random.Random(EVAL_SEED), "eval", num_eval, families=every)
    write_prompts(out_dir / "heldout.parquet", held_out)


def write_prompts(path: Path, questions: list[Question]) -> None:
    """Write the questions as prompts in r1ray's own layout; the domain is the family."""
    write_rows(path, [math_row(question, question.text, domain=question.family) for question in questions])


def dialogue_of(question: Question, rng: random.Random) -> dict[str, Any]:
    """Return a dialogue to learn from: it runs the code and says what that is, or it guesses a number of about as many
    digits."""
    messages: list[dict[str, Any]] = [{"role": "user", "content": question.text}]
    if rng.random() < GUESSED:
        guess = rng.randrange(10 ** len(str(question.answer)))
        return {"messages": [*messages, {"role": "assistant", "content": str(guess)}], "tools": [PYTHON]}
    call = {"type": "function", "id": "1", "function": {"name": "python", "arguments": {"code": question.code}}}
    messages += [
        {"role": "assistant", "content": "", "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "1", "content": str(question.answer)},
        {"role": "assistant", "content": str(question.answer)},
    ]
    return {"messages": messages, "tools": [PYTHON]}
