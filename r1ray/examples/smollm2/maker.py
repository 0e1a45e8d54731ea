"""The ``prepare`` stage of ``experiment=smollm2``: the pretrained model, training prompts, held-out prompts."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path

from r1ray.examples.prompts import math_row, write_rows
from r1ray.examples.smollm2.model import save_model
from r1ray.examples.smollm2.task import Question, sample_questions

EVAL_SEED = 777
"""The held-out questions are the same for every seed of a run."""


def make(out_dir: Path, *, seed: int, log: Callable[[str], None], num_train: int = 1200, num_eval: int = 120) -> None:
    """Write ``model/``, ``train.parquet`` and ``heldout.parquet`` into ``out_dir``.

    Raises UserError if the packages that hold the model are not installed.
    """
    log(f"  {save_model(out_dir / 'model'):,} parameters, pretrained")
    write_prompts(out_dir / "train.parquet", sample_questions(random.Random(seed), "train", num_train))
    write_prompts(out_dir / "heldout.parquet", sample_questions(random.Random(EVAL_SEED), "eval", num_eval))


def write_prompts(path: Path, questions: list[Question]) -> None:
    """Write the questions as prompts in r1ray's own layout; the domain is the family."""
    write_rows(
        path,
        [
            math_row(question, question.prompt, name=f"{question.text} #{index}", domain=question.family)
            for index, question in enumerate(questions)
        ],
    )
