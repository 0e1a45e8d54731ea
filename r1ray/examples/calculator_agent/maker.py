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
    pretrain_steps: int = 1200,
    tokens_per_step: int = 1024,
    num_train: int = 4096,
    num_eval: int = 128,
    threads: int = 1,
    min_calls: float = 0.02,
    min_reads: float = 0.8,
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
    sums = [sample_sum(rng, "train") for _ in range(FITNESS_PROMPTS)]
    called, read = (right_turns(model, tokenizer, sums, seed=seed, is_called=each) for each in (False, True))
    log(f"  at temperature 1, {called:.1%} of its answers begin with a right call of the calculator")
    log(f"  at temperature 1, {read:.1%} of its answers to a result say the result")
    for share, least, lacking in (
        (called, min_calls, "of its answers begin with a right call of the calculator"),
        (read, min_reads, "of its answers to a result of the calculator say the result"),
    ):
        if share < least:
            raise UserError(
                f"the base model is not a fit start: {share:.1%} {lacking} (needs at least {least:.0%}). Raise "
                "prepare.options.pretrain_steps, or try another seed."
            )
    model.save_pretrained(out_dir / "model")
    tokenizer.save_pretrained(out_dir / "model")


def write_prompts(path: Path, sums: Sequence[Sum]) -> None:
    """Write the sums as prompts in r1ray's own layout."""
    write_rows(path, [math_row(asked, question_of(asked)) for asked in sums])


def right_turns(model: Any, tokenizer: Any, sums: Sequence[Sum], *, seed: int, is_called: bool) -> float:
    """Return the share of turns, sampled at temperature 1, that pass the sum to the calculator as it was asked; with
    ``is_called``, the share of turns after its result that repeat the result."""
    torch.manual_seed(seed)
    by_length: dict[int, list[tuple[Sum, list[int]]]] = {}
    for asked in sums:
        ids = tokenizer(prompt_of(tokenizer, asked, is_called=is_called), add_special_tokens=False)["input_ids"]
        by_length.setdefault(len(ids), []).append((asked, ids))
    num_right = 0
    for group in by_length.values():  # prompts of equal length need no padding
        ids = torch.tensor([each for _, each in group])
        with torch.no_grad():
            output = model.generate(ids, do_sample=True, temperature=1.0, top_k=0, max_new_tokens=TURN_TOKENS)
        turns = tokenizer.batch_decode(output[:, ids.shape[1] :], skip_special_tokens=True)
        num_right += sum(
            turn == (str(asked.answer) if is_called else turn_of(asked))
            for (asked, _), turn in zip(group, turns, strict=True)
        )
    return num_right / len(sums)
