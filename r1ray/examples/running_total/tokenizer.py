"""A word-level tokenizer: each operand with its label is one token, so that the next operand is found by its label."""

from __future__ import annotations

import re
from typing import Any

from r1ray.examples.running_total.task import LABELS

SPECIAL = ("<pad>", "<bos>", "<eos>")
WORDS = (
    *("<think>", "</think>", "<answer>", "</answer>", "User:", "Assistant:"),
    *("wait", "check", "easy", "maybe", "thanks", "so", "answer", "\n", "="),
    *(f"{label}{sign}{value}" for label in LABELS for sign in "+-" for value in range(1, 10)),
    *(str(number) for number in range(100)),
)
VOCABULARY = 288
"""Rows of the embedding: the 262 tokens, padded to a multiple of 32."""


def make_tokenizer() -> Any:
    """A transformers tokenizer of these words."""
    from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    table = {word: index for index, word in enumerate((*SPECIAL, *WORDS))}
    tokenizer = Tokenizer(models.WordLevel(table, unk_token="<pad>"))
    longest_first = "|".join(re.escape(word) for word in sorted(WORDS, key=len, reverse=True))
    tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex(longest_first), "isolated")
    tokenizer.decoder = decoders.Fuse()
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token="<pad>",
        bos_token="<bos>",
        eos_token="<eos>",
        clean_up_tokenization_spaces=False,
    )
