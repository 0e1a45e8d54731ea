"""Words and chat template of the base model: ChatML, tools and calls in Hermes' form; it never rewrites earlier turns.

A number with the sign before it is one token, so that each number follows directly from the one before.
"""

from __future__ import annotations

import string
from typing import Any

from r1ray.examples.calculator_agent.task import LARGEST, SMALLEST
from r1ray.examples.pretrain import word_tokenizer

START, END = "<|im_start|>", "<|im_end|>"
MARKS = ("<tools>", "</tools>", "<tool_call>", "</tool_call>", "<tool_response>", "</tool_response>")
"""Tokens that are added without being special, as in Qwen's tokenizers; they stay in decoded text."""
WORDS = (
    *(START, END, *MARKS),
    *("system", "user", "assistant", "calculator", "expression", "What is ", " is "),
    *('{"name": "', '", "arguments": {"', '": "', '"}}'),
    *(f"{sign}{number}" for sign in ("", "+", "*") for number in range(SMALLEST, LARGEST + 1)),
    *string.digits,
    *(character for character in string.printable if not character.isalnum() and character.isprintable()),
    *string.ascii_letters,
    "\n",
)
TEMPLATE = """\
{%- if tools %}<|im_start|>system
<tools>
{%- for tool in tools %}{{ tool.function.name }}({{ tool.function.parameters.properties | join(", ") }}){% endfor -%}
</tools><|im_end|>
{% endif -%}
{%- for message in messages -%}
{%- if message.role == "tool" -%}
<|im_start|>user
<tool_response>{{ message.content }}</tool_response><|im_end|>
{% else -%}
<|im_start|>{{ message.role }}
{{ message.content }}
{%- for call in message.tool_calls or [] -%}
<tool_call>{"name": "{{ call.function.name }}", "arguments": {{ call.function.arguments | tojson }}}</tool_call>
{%- endfor -%}
<|im_end|>
{% endif -%}
{%- endfor -%}
{%- if add_generation_prompt -%}
<|im_start|>assistant
{% endif -%}
"""


def make_tokenizer() -> Any:
    """Return a transformers tokenizer of these words, which can encode every printable ASCII text."""
    from tokenizers import AddedToken

    tokenizer = word_tokenizer(WORDS)
    tokenizer.add_tokens([AddedToken(mark, normalized=False) for mark in MARKS])
    tokenizer.add_special_tokens({"eos_token": END, "additional_special_tokens": [START]})
    tokenizer.chat_template = TEMPLATE
    return tokenizer
