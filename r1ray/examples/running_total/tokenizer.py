"""A word-level tokenizer: each operand with its label is one token, so that the next operand is found by its label."""

from __future__ import annotations

from typing import Any

from r1ray.examples.pretrain import word_tokenizer
from r1ray.examples.running_total.task import LABELS

WORDS = (
    *("<think>", "</think>", "<answer>", "</answer>", "User:", "Assistant:"),
    *("wait", "check", "easy", "maybe", "thanks", "so", "answer", "\n", "="),
    *(f"{label}{sign}{value}" for label in LABELS for sign in "+-" for value in range(1, 10)),
    *(str(number) for number in range(100)),
)


def make_tokenizer() -> Any:
    """Return a transformers tokenizer of these words."""
    return word_tokenizer(WORDS)
