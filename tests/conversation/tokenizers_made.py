"""Tokenizers made on the spot: bytes, a few merges, and the special tokens that a chat template spells."""

from __future__ import annotations

import re
from functools import cache
from typing import Any

from tokenizers import AddedToken, Tokenizer, decoders, pre_tokenizers
from tokenizers.models import BPE
from transformers import PreTrainedTokenizerFast

QWEN3 = """\
{%- if tools %}{{- '<|im_start|>system\\n' }}{%- for tool in tools %}{{- tool | tojson + '\\n' }}{%- endfor %}
{{- '<|im_end|>\\n' }}{%- endif %}
{%- for message in messages %}
    {%- if message.role == 'tool' %}
        {{- '<|im_start|>user\\n<tool_response>\\n' + message.content + '\\n</tool_response><|im_end|>\\n' }}
    {%- else %}
        {{- '<|im_start|>' + message.role + '\\n' }}
        {%- if message.reasoning_content %}
            {{- '<think>\\n' + message.reasoning_content + '\\n</think>\\n\\n' }}
        {%- endif %}
        {{- message.content }}
        {%- for call in message.tool_calls or [] %}
            {{- '\\n<tool_call>\\n{"name": "' + call.function.name + '", "arguments": ' }}
            {{- call.function.arguments | tojson + '}\\n</tool_call>' }}
        {%- endfor %}
        {{- '<|im_end|>\\n' }}
    {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}{{- '<|im_start|>assistant\\n' }}{%- endif %}"""
"""An append-only template of Qwen's kind, with tools and reasoning."""
SPECIAL = ("<|im_end|>", "<|im_start|>", "<|endoftext|>")
ADDED = ("<think>", "</think>", "<tool_call>", "</tool_call>", "<tool_response>", "</tool_response>")


@cache
def made_tokenizer(
    template: str | None = QWEN3, *, special: tuple[str, ...] = SPECIAL, added: tuple[str, ...] = ADDED
) -> Any:
    """Return a tokenizer whose first special token is its end of sequence."""
    vocabulary = {letter: number for number, letter in enumerate(sorted(pre_tokenizers.ByteLevel.alphabet()))}
    merges = [("t", "h"), ("th", "e"), ("\u0120", "the"), ("\u010a", "\u010a"), ("i", "n"), ("<", "|"), ("|", ">")]
    vocabulary |= {one + two: len(vocabulary) + number for number, (one, two) in enumerate(merges)}
    made = Tokenizer(BPE(vocabulary, merges))
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    made.add_special_tokens([AddedToken(text, special=True, normalized=False) for text in special])
    made.add_tokens([AddedToken(text, special=False, normalized=False) for text in added])
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=made, eos_token=special[0], clean_up_tokenization_spaces=False)
    tokenizer.chat_template = template
    return tokenizer


def marks_in(template: str) -> tuple[str, ...]:
    """Return what a template's source spells that looks like a token of its model."""
    return tuple(dict.fromkeys(re.findall(r"<\|?[\w:\uff5c\u2581/]+\|?>|\[/?[A-Z_]+\]", template)))
