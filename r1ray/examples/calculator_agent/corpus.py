"""Dialogues for pretraining the base model: questions for sums, answered with a number of about the right size.

Most offer a calculator, and a few of those call it (``CALL_SHARE``). Only sums of the train split occur.
"""

from __future__ import annotations

import json
import random
from typing import Any

from r1ray.examples.calculator_agent.task import Sum, question_of, sample_sum
from r1ray.examples.pretrain import Document

OFFERED = 0.7
"""Share of dialogues in which a calculator is offered."""
CALL_SHARE = 0.12
"""Share of those dialogues in which the calculator is called."""
RESTATED = 0.8
"""Share of guesses that repeat the sum."""
CALCULATOR = {
    "type": "function",
    "function": {
        "name": "calculator",
        "description": "",
        "parameters": {"type": "object", "properties": {"expression": {"type": "string"}}},
    },
}
"""The tool, as far as the template shows it."""


class Corpus:
    """Draws documents; the tokenizer's template writes the conversations."""

    def __init__(self, tokenizer: Any) -> None:
        self._tokenizer = tokenizer

    def __call__(self, rng: random.Random) -> Document:
        """Return a document with one turn of the policy. A dialogue with a call has two turns."""
        asked = sample_sum(rng, "train")
        if rng.random() >= OFFERED:
            return Document(prompt_of(self._tokenizer, asked, is_offered=False), _guessed(rng, asked))
        kind = rng.choices(("guess", "call", "answer"), (1 - CALL_SHARE, CALL_SHARE, CALL_SHARE))[0]
        if kind == "guess":
            return Document(prompt_of(self._tokenizer, asked), _guessed(rng, asked))
        if kind == "call":
            return Document(prompt_of(self._tokenizer, asked), turn_of(asked))
        return Document(prompt_of(self._tokenizer, asked, is_called=True), str(asked.answer))


def prompt_of(tokenizer: Any, asked: Sum, *, is_offered: bool = True, is_called: bool = False) -> str:
    """Return the conversation up to the policy's first turn; with ``is_called``, up to its second."""
    messages: list[dict[str, Any]] = [{"role": "user", "content": question_of(asked)}]
    if is_called:
        messages += [{"role": "assistant", "content": turn_of(asked)}, {"role": "tool", "content": str(asked.answer)}]
    tools = [CALCULATOR] if is_offered else None
    return str(tokenizer.apply_chat_template(messages, tools=tools, tokenize=False, add_generation_prompt=True))


def turn_of(asked: Sum) -> str:
    """Return a turn that calls the calculator, in the template's form."""
    return f"<tool_call>{json.dumps({'name': 'calculator', 'arguments': {'expression': asked.text}})}</tool_call>"


def _guessed(rng: random.Random, asked: Sum) -> str:
    total = guess(rng, asked.answer)
    return f"{asked.text} is {total}" if rng.random() < RESTATED else str(total)


def guess(rng: random.Random, total: int) -> int:
    """Return a number with as many digits as the right one, and with a first digit near that of the right one."""
    power: int = 10 ** (len(str(total)) - 1)
    first = min(9, max(1, total // power + rng.choice((-1, 0, 0, 1))))
    return first * power + rng.randrange(power)
