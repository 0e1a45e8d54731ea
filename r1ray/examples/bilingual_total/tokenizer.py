"""A word-level tokenizer: each operand with its label is one token, and so is each phrase of either language."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from r1ray.examples.bilingual_total.phrases import PHRASES, Phrases
from r1ray.examples.pretrain import word_tokenizer
from r1ray.examples.running_total.task import LABELS, MAX_OPERAND, MAX_TOTAL, OPERATIONS
from r1ray.reward.format import TAGS

SPARE_ROWS = 16
"""Unused rows of the embedding: later stages may add this many tokens without resizing it."""
CHAT_TEMPLATE = "{% for message in messages %}{{ message['content'] }}{% endfor %}"
"""Template that concatenates messages, because prompts contain ``User:`` and ``Assistant:`` themselves."""


def _words_of(value: Any) -> list[str]:
    return [value] if isinstance(value, str) else [word for part in value for word in _words_of(part)]


def _phrases(phrases: Phrases) -> list[str]:
    return _words_of(list(asdict(phrases).values()))


WORDS = tuple(
    dict.fromkeys(
        (
            *(*TAGS, "User:", "\nAssistant:", "\n", "\\boxed{", "}"),
            *(word for phrases in PHRASES.values() for word in _phrases(phrases)),
            *(f"{a}{b}{c}" for a in LABELS[: OPERATIONS[1]] for b in "+-" for c in range(1, MAX_OPERAND + 1)),
            *map(str, range(MAX_TOTAL + 1)),
        )
    )
)


def make_tokenizer() -> Any:
    """Return a transformers tokenizer of these words; its chat template concatenates messages."""
    tokenizer = word_tokenizer(WORDS)
    tokenizer.chat_template = CHAT_TEMPLATE
    return tokenizer
