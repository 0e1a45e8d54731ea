"""The ``prepare`` stage of the first agent: base model, training prompts, held-out prompts."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch

from r1ray.errors import UserError
from r1ray.examples.calculator_agent.corpus import Corpus, prompt_of, turn_of
from r1ray.examples.calculator_agent.task import Sum, question_of, sample_sum
from r1ray.examples.calculator_agent.tokenizer import make_tokenizer
from r1ray.examples.pretrain import make_model, pretrain
from r1ray.examples.prompts import distinct, math_row, write_rows

EVAL_SEED = 777
"""The held-out sums are the same for every seed of a run."""
FITNESS_PROMPTS, TURN_TOKENS = 512, 32


def make(
    out_dir: Path,
    *,
    seed: int,
    log: Callable[[str], None],
    pretrain_steps: int = 800,
    tokens_per_step: int = 1024,
    num_train: int = 4096,
    num_eval: int = 128,
    threads: int = 1,
    min_calls: float = 0.02,
) -> None:
    """Write ``model/``, ``train.parquet`` and ``heldout.parquet`` into ``out_dir``.

    Raises UserError where the base model is no fit start: reinforcement learning then finds nothing to reinforce.
    """
    torch.set_num_threads(threads)
    tokenizer = make_tokenizer()
    model = make_model(tokenizer, seed=seed)
    size = sum(p.numel() for p in model.parameters())
    log(f"  {size:,} parameters, {pretrain_steps} steps of {tokens_per_step} tokens")
    pretrain(
        *(model, tokenizer, Corpus(tokenizer)),
        seed=seed,
        steps=pretrain_steps,
        tokens_per_step=tokens_per_step,
        log=log,
    )
    rng = random.Random(seed)
    write_prompts(out_dir / "train.parquet", [sample_sum(rng, "train") for _ in range(num_train)])
    write_prompts(
        out_dir / "heldout.parquet", distinct(partial(sample_sum, random.Random(EVAL_SEED), "eval"), num_eval)
    )
    called = right_calls(model, tokenizer, [sample_sum(rng, "train") for _ in range(FITNESS_PROMPTS)], seed=seed)
    log(f"  at temperature 1, {called:.1%} of its answers begin with a right call of the calculator")
    if called < min_calls:
        raise UserError(
            f"the base model is no fit start: {called:.1%} of its answers begin with a right call of the calculator "
            f"(needs at least {min_calls:.0%}). Raise prepare.options.pretrain_steps, or try another seed."
        )
    model.save_pretrained(out_dir / "model")
    tokenizer.save_pretrained(out_dir / "model")


def write_prompts(path: Path, sums: Sequence[Sum]) -> None:
    """The sums as prompts in r1ray's own layout."""
    write_rows(path, [math_row(asked, question_of(asked)) for asked in sums])


def right_calls(model: Any, tokenizer: Any, sums: Sequence[Sum], *, seed: int) -> float:
    """Share of first turns, sampled at temperature 1, that give the calculator the sum as it was asked."""
    torch.manual_seed(seed)
    by_length: dict[int, list[tuple[Sum, list[int]]]] = {}
    for asked in sums:
        ids = tokenizer(prompt_of(tokenizer, asked), add_special_tokens=False)["input_ids"]
        by_length.setdefault(len(ids), []).append((asked, ids))
    num_right = 0
    for group in by_length.values():  # prompts of one length need no padding
        ids = torch.tensor([each for _, each in group])
        with torch.no_grad():
            output = model.generate(ids, do_sample=True, temperature=1.0, top_k=0, max_new_tokens=TURN_TOKENS)
        turns = tokenizer.batch_decode(output[:, ids.shape[1] :], skip_special_tokens=True)
        num_right += sum(turn == turn_of(asked) for (asked, _), turn in zip(group, turns, strict=True))
    return num_right / len(sums)
