"""The ``prepare`` stage: a base model, a smaller student, prompts, and texts of people for the later stages."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch

from r1ray.checks import MathAnswer
from r1ray.errors import UserError
from r1ray.examples.bilingual_total import rewards, written
from r1ray.examples.bilingual_total.corpus import sample_document
from r1ray.examples.bilingual_total.phrases import LANGUAGES, Language
from r1ray.examples.bilingual_total.talk import every_talk
from r1ray.examples.bilingual_total.task import Expression, Split, prompt_of, sample_expression
from r1ray.examples.bilingual_total.tokenizer import SPARE_ROWS, make_tokenizer
from r1ray.examples.pretrain import make_model, pretrain
from r1ray.examples.prompts import distinct, math_row, write_rows
from r1ray.reward.extract import final_answer
from r1ray.runtime.advance import counted
from r1ray.types import Prompt, Response

EVAL_SEED = 777
"""The held-out expressions are the same for every seed of a run."""
FITNESS_TOKENS = 96
MIXED_BAND = (0.25, 0.75)
"""Range of the share of mixed solutions among worked ones in which a language reward has something to change."""
BASE_HEADS, STUDENT_HEADS = 3, 2


def make(
    out_dir: Path,
    *,
    seed: int,
    log: Callable[[str], None],
    pretrain_steps: int = 2800,
    student_steps: int = 1500,
    tokens_per_step: int = 1024,
    threads: int = 2,
    num_train: int = 4096,
    num_sampled: int = 1024,
    num_eval: int = 128,
    num_cold_start: int = 400,
    num_pairs: int = 800,
    num_dialogues: int = 400,
    num_fitness: int = 768,
    min_worked_accuracy: float = 0.10,
) -> None:
    """Write into ``out_dir``: ``model/`` and ``student/``;

    * ``train.parquet`` and ``heldout.parquet``, questions; ``sampled.parquet``, the first questions of ``train``;
    * ``scenarios.parquet``, questions and prompts without a rule; ``general_heldout.parquet``, other such prompts;
    * ``cold_start.jsonl`` and ``sft.jsonl``, examples;
    * ``helpful.parquet`` and ``harmless.parquet``, pairs of answers, and ``*_heldout.parquet`` of each.

    Raises UserError if the base model is not a fit start: nothing to reinforce, or no mixed languages to repair. With
    ``num_fitness=0`` this is not checked.
    """
    torch.set_num_threads(threads)
    rng = random.Random(seed)
    train = _prompts([sample_expression(rng, "train") for _ in range(num_train)])
    write_rows(out_dir / "train.parquet", train)
    write_rows(out_dir / "sampled.parquet", train[:num_sampled])
    held_out = distinct(partial(sample_expression, random.Random(EVAL_SEED), "eval"), num_eval)
    write_rows(out_dir / "heldout.parquet", _prompts(held_out))
    write_rows(out_dir / "scenarios.parquet", train + _general("train"))
    write_rows(out_dir / "general_heldout.parquet", _general("eval"))
    write_lines(out_dir / "cold_start.jsonl", written.cold_start(rng, num_cold_start))
    write_lines(out_dir / "sft.jsonl", written.dialogues(rng, num_dialogues))
    for kind in written.KINDS:
        write_rows(out_dir / f"{kind}.parquet", written.pairs(rng, num_pairs, kind, "train"))
        write_rows(out_dir / f"{kind}_heldout.parquet", written.pairs(rng, num_eval, kind, "eval"))

    tokenizer = make_tokenizer()
    for name, num_heads, steps in (("model", BASE_HEADS, pretrain_steps), ("student", STUDENT_HEADS, student_steps)):
        model = make_model(tokenizer, seed=seed, num_heads=num_heads, spare_rows=SPARE_ROWS)
        size = sum(p.numel() for p in model.parameters())
        log(f"  {name}: {size:,} parameters, {steps} steps of {tokens_per_step} tokens")
        pretrain(model, tokenizer, sample_document, seed=seed, steps=steps, tokens_per_step=tokens_per_step, log=log)
        if num_fitness:
            found = fitness(model, tokenizer, seed=seed, num_prompts=num_fitness)
            log(f"  {name}: at temperature 1, {found}")
            if name == "model":
                require_fit(found, min_worked_accuracy=min_worked_accuracy)
        model.save_pretrained(out_dir / name)
        tokenizer.save_pretrained(out_dir / name)


def _prompts(expressions: list[Expression]) -> list[dict[str, Any]]:
    """Return the expressions as prompts in r1ray's own layout, in alternating languages."""
    return [
        math_row(expression, prompt_of(expression, language), name=f"{language}-{expression.text}", language=language)
        for expression, language in zip(expressions, _by_turns(len(expressions)), strict=True)
    ]


def _by_turns(count: int) -> list[Language]:
    return [LANGUAGES[index % len(LANGUAGES)] for index in range(count)]


def _general(split: Split) -> list[dict[str, Any]]:
    return [
        {
            "id": f"talk-{index}",
            "prompt": talk.prompt,
            "check": {"type": "format"},
            "domain": "general",
            "language": talk.language,
        }
        for index, talk in enumerate(every_talk(split))
    ]


def write_lines(path: Path, rows: Iterable[dict[str, Any]]) -> None:
    """Write rows as JSON lines."""
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")


@dataclass(frozen=True, slots=True)
class Fitness:
    """Behaviour of a base model at temperature 1, as shares."""

    worked: float
    """Share of answers with steps."""
    worked_right: float
    direct_right: float
    mixed: float
    """Share of worked answers in both languages."""

    def __str__(self) -> str:
        return (
            f"{self.worked:.1%} of its answers are worked, of these {self.worked_right:.1%} are right and "
            f"{self.mixed:.1%} mix languages; direct ones are right {self.direct_right:.1%} of the time"
        )


def fitness(model: Any, tokenizer: Any, *, seed: int, num_prompts: int) -> Fitness:
    """Return a model's behaviour at temperature 1 on expressions of the train split, half of them in each language."""
    torch.manual_seed(seed)
    rng = random.Random(seed + 1)
    asked = [(sample_expression(rng, "train"), language) for language in _by_turns(num_prompts)]
    right: dict[bool, list[float]] = {True: [], False: []}
    mixed: list[float] = []
    lengths = sorted({len(expression.operands) for expression, _ in asked})
    for count in counted("answers of the base model", lengths):  # equal lengths need no padding
        group = [(e, language) for e, language in asked if len(e.operands) == count]
        ids = torch.tensor(tokenizer([prompt_of(*pair) for pair in group], add_special_tokens=False)["input_ids"])
        with torch.no_grad():
            output = model.generate(ids, do_sample=True, temperature=1.0, top_k=0, max_new_tokens=FITNESS_TOKENS)
        for (expression, language), tokens in zip(group, output[:, ids.shape[1] :].tolist(), strict=True):
            response = Response(tokenizer.decode(tokens, skip_special_tokens=True), finished=True)
            check = MathAnswer(str(expression.answer))
            prompt = Prompt(id="", text="", check=check, domain="", language=language)
            is_direct = bool(rewards.direct(prompt, response))
            right[is_direct].append(float(final_answer(response.text) == check.answer))
            if not is_direct:
                mixed.append(rewards.mixed(prompt, response))
    return Fitness(len(mixed) / num_prompts, _mean(right[False]), _mean(right[True]), _mean(mixed))


def _mean(values: list[float]) -> float:
    return sum(values) / len(values) if values else 0.0


def require_fit(found: Fitness, *, min_worked_accuracy: float) -> None:
    """Raise UserError if reinforcement learning would find nothing to reinforce, or nothing to repair."""
    advice = "Raise prepare.options.pretrain_steps, or try another seed."
    if found.worked_right < min_worked_accuracy or found.worked_right < 2 * found.direct_right:
        raise UserError(
            f"the base model is not a fit start: its worked answers are right {found.worked_right:.1%} of the time "
            f"(needs at least {min_worked_accuracy:.0%}, and twice the {found.direct_right:.1%} of direct ones). "
            f"{advice}"
        )
    low, high = MIXED_BAND
    if not low <= found.mixed <= high:
        raise UserError(
            f"the base model is not a fit start: {found.mixed:.1%} of its worked answers mix languages (needs "
            f"{low:.0%} to {high:.0%}). {advice}"
        )
