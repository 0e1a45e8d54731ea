"""The ``prepare`` stage of the quickstart: base model, training prompts, held-out prompts."""

from __future__ import annotations

import random
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch

from r1ray.checks import MathAnswer
from r1ray.errors import UserError
from r1ray.examples.pretrain import make_model, pretrain
from r1ray.examples.prompts import distinct, math_row, write_rows
from r1ray.examples.running_total.corpus import sample_document
from r1ray.examples.running_total.rewards import direct
from r1ray.examples.running_total.task import Expression, prompt_of, sample_expression
from r1ray.examples.running_total.tokenizer import make_tokenizer
from r1ray.reward.extract import final_answer
from r1ray.runtime.advance import counted
from r1ray.types import Prompt, Response

EVAL_SEED = 777
"""The held-out expressions are the same for every seed of a run."""
FITNESS_PROMPTS, FITNESS_TOKENS = 768, 80


def make(
    out_dir: Path,
    *,
    seed: int,
    log: Callable[[str], None],
    pretrain_steps: int = 2800,
    tokens_per_step: int = 1024,
    num_train: int = 4096,
    num_eval: int = 128,
    threads: int = 2,
    min_worked_accuracy: float = 0.10,
) -> None:
    """Write ``model/``, ``train.parquet`` and ``heldout.parquet`` into ``out_dir``.

    Raises UserError if the base model is not a fit start: reinforcement learning then finds nothing to reinforce.
    """
    torch.set_num_threads(threads)
    tokenizer = make_tokenizer()
    model = make_model(tokenizer, seed=seed)
    size = sum(p.numel() for p in model.parameters())
    log(f"  {size:,} parameters, {pretrain_steps} steps of {tokens_per_step} tokens")
    pretrain(
        model, tokenizer, sample_document, seed=seed, steps=pretrain_steps, tokens_per_step=tokens_per_step, log=log
    )
    rng = random.Random(seed)
    write_prompts(out_dir / "train.parquet", [sample_expression(rng, "train") for _ in range(num_train)])
    write_prompts(
        out_dir / "heldout.parquet", distinct(partial(sample_expression, random.Random(EVAL_SEED), "eval"), num_eval)
    )
    worked, guessed = fitness(model, tokenizer, seed=seed)
    log(f"  at temperature 1, worked answers are right {worked:.1%} of the time, direct ones {guessed:.1%}")
    if worked < min_worked_accuracy or worked < 2 * guessed:
        raise UserError(
            f"the base model is not a fit start: its worked answers are right {worked:.1%} of the time (needs at least "
            f"{min_worked_accuracy:.0%}, and twice the {guessed:.1%} of direct ones). Raise "
            "prepare.options.pretrain_steps, or try another seed."
        )
    model.save_pretrained(out_dir / "model")
    tokenizer.save_pretrained(out_dir / "model")


def write_prompts(path: Path, expressions: list[Expression]) -> None:
    """Write the expressions as prompts in r1ray's own layout."""
    write_rows(path, [math_row(expression, prompt_of(expression)) for expression in expressions])


def fitness(model: Any, tokenizer: Any, *, seed: int) -> tuple[float, float]:
    """Return the shares of right answers among worked and among direct ones, sampled at temperature 1 on train
    expressions."""
    torch.manual_seed(seed)
    rng = random.Random(seed + 1)
    right: dict[bool, list[bool]] = {True: [], False: []}
    expressions = sorted(
        (sample_expression(rng, "train") for _ in range(FITNESS_PROMPTS)), key=lambda e: len(e.operands)
    )
    by_length: dict[int, list[Expression]] = {}
    for expression in expressions:
        by_length.setdefault(len(expression.operands), []).append(expression)
    for group in counted("answers of the base model", list(by_length.values())):  # equal lengths need no padding
        ids = torch.tensor(tokenizer([prompt_of(e) for e in group], add_special_tokens=False)["input_ids"])
        with torch.no_grad():
            output = model.generate(ids, do_sample=True, temperature=1.0, top_k=0, max_new_tokens=FITNESS_TOKENS)
        for expression, tokens in zip(group, output[:, ids.shape[1] :].tolist(), strict=True):
            text = tokenizer.decode(tokens, skip_special_tokens=True)
            prompt = Prompt(id="", text="", check=MathAnswer(str(expression.answer)), domain="", language="")
            is_direct = bool(direct(prompt, Response(text, finished=True)))
            right[is_direct].append(final_answer(text) == str(expression.answer))
    return _share(right[False]), _share(right[True])


def _share(values: list[bool]) -> float:
    return sum(values) / len(values) if values else 0.0
