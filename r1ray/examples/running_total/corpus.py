"""Documents for pretraining the base model: noisy, mostly badly formed, rarely worked out.

Single facts (25 %), and questions with answers in one of four styles, in one of three kinds of wrapping. About 7 % of
the questions are well-formed worked solutions. Only expressions of the train split occur.
"""

from __future__ import annotations

import random

from r1ray.examples.pretrain import Document
from r1ray.examples.running_total.task import (
    LABELS,
    MAX_OPERAND,
    MAX_TOTAL,
    Expression,
    prompt_of,
    sample_expression,
)

FACT_SHARE = 0.25
STYLES = (("direct", 0.66), ("skip", 0.08), ("full", 0.20), ("check", 0.06))
WRAPPINGS = (("none", 0.45), ("broken", 0.33), ("exact", 0.22))
DIRECT_RIGHT = 0.25
STEP_ERROR = {"skip": 0.15, "full": 0.06}
CORRECTION = 0.6


def _off(rng: random.Random, total: int, spread: int) -> int:
    """Return a number near ``total``, but not ``total``, in 0..MAX_TOTAL."""
    return rng.choice([n for n in range(max(0, total - spread), min(MAX_TOTAL, total + spread) + 1) if n != total])


def _worked(rng: random.Random, expression: Expression, *, every: int, error: float) -> tuple[str, int]:
    """Return a worked solution and its answer. With ``every`` 2 only every second total is written. A wrong step is
    either corrected (``wait``) or carried on to the end."""
    total, body = expression.start, str(expression.start)
    pending = 0
    for index, (step, value) in enumerate(zip(expression.steps, expression.operands, strict=True), start=1):
        pending += value
        body += step
        if index % every and index != len(expression.operands):
            continue
        right = total + pending
        written = _off(rng, max(0, min(MAX_TOTAL, right)), 3) if rng.random() < error else right
        body += f"={written}"
        if written != right and rng.random() < CORRECTION:
            body += f"wait{total}{step}={right}" if every == 1 else f"wait={right}"
            written = right
        total = max(0, min(MAX_TOTAL, written))
        pending = 0
    return body, total


def _answer(rng: random.Random, expression: Expression) -> tuple[str, int]:
    style = rng.choices([name for name, _ in STYLES], [share for _, share in STYLES])[0]
    if style == "direct":
        right = rng.random() < DIRECT_RIGHT
        return rng.choice(("", "easy", "maybe")), expression.answer if right else _off(rng, expression.answer, 9)
    if style == "check":
        first, one = _worked(rng, expression, every=1, error=STEP_ERROR["full"])
        second, two = _worked(rng, expression, every=1, error=STEP_ERROR["full"])
        body = f"{first}check{second}"
        if one == two:
            return body, one
        third, three = _worked(rng, expression, every=1, error=STEP_ERROR["full"])
        return f"{body}wait{third}", three
    return _worked(rng, expression, every=2 if style == "skip" else 1, error=STEP_ERROR[style])


def _wrap(rng: random.Random, body: str, answer: int) -> str:
    kind = rng.choices([name for name, _ in WRAPPINGS], [share for _, share in WRAPPINGS])[0]
    if kind == "none":
        return body + rng.choice((f"so{answer}", f"answer{answer}thanks"))
    newline = rng.choice(("", "\n"))
    if kind == "exact":
        return f"<think>{body}</think>{newline}<answer>{answer}</answer>"
    return rng.choice(
        (
            f"{body}</think>{newline}<answer>{answer}</answer>",
            f"<think>{body}{newline}<answer>{answer}</answer>",
            f"<think>{body}</think>{newline}{answer}",
            f"<think>{body}</think>{newline}<answer>{answer}",
            f"{body}<answer>{answer}</answer>",
            f"<think>{body}</think>{newline}<answer>{answer}</answer>thanks",
        )
    )


def sample_document(rng: random.Random) -> Document:
    """Return one document of the mixture."""
    if rng.random() < FACT_SHARE:
        start, value = rng.randint(0, MAX_TOTAL), rng.randint(1, MAX_OPERAND) * rng.choice((1, -1))
        if not 0 <= start + value <= MAX_TOTAL:
            value = -value
        return Document("", f"{start}{rng.choice(LABELS)}{value:+d}={start + value}")
    expression = sample_expression(rng, "train")
    return Document(prompt_of(expression), _wrap(rng, *_answer(rng, expression)))
