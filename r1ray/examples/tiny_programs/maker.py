"""The ``prepare`` stage of ``experiment=tiny_programs``: base model, training prompts, held-out prompts."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import torch

from r1ray.examples.pretrain import make_model, pretrain
from r1ray.examples.prompts import write_rows
from r1ray.examples.tiny_programs.task import Split, every_question, make_tokenizer, sample_document


def make(
    out_dir: Path,
    *,
    seed: int,
    log: Callable[[str], None],
    pretrain_steps: int = 800,
    tokens_per_step: int = 1024,
    threads: int = 2,
) -> None:
    """Write ``model/``, ``train.parquet`` and ``heldout.parquet`` into ``out_dir``."""
    torch.set_num_threads(threads)
    tokenizer = make_tokenizer()
    model = make_model(tokenizer, seed=seed)
    pretrain(
        model, tokenizer, sample_document, seed=seed, steps=pretrain_steps, tokens_per_step=tokens_per_step, log=log
    )
    model.save_pretrained(out_dir / "model")
    tokenizer.save_pretrained(out_dir / "model")
    write_prompts(out_dir / "train.parquet", "train")
    write_prompts(out_dir / "heldout.parquet", "eval")


def write_prompts(path: Path, split: Split) -> None:
    """Write the questions of a split as prompts in r1ray's own layout."""
    rows = [
        {"id": question.text, "prompt": question.prompt, "check": question.check, "domain": "code", "language": "en"}
        for question in every_question(split)
    ]
    write_rows(path, rows)
