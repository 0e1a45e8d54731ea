"""Chat templates, and tokenizers made on the spot: bytes, a few merges, and the tokens that templates spell."""

from __future__ import annotations

import importlib.util
import re
from functools import cache
from pathlib import Path
from typing import Any

from tokenizers import AddedToken, Tokenizer, decoders, pre_tokenizers
from tokenizers.models import BPE
from transformers import PreTrainedTokenizerFast

from r1ray.turns import ToolSchema

QWEN = """\
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
"""Append-only, of Qwen's kind, with tools and reasoning."""
FORGETFUL = QWEN.replace("if message.reasoning_content", "if message.reasoning_content and loop.last")
"""Drops the reasoning of all turns but the last."""
THINKING = QWEN.replace("'<|im_start|>assistant\\n'", "'<|im_start|>assistant\\n<think>\\n'")
"""Begins each turn of the policy's inside its reasoning."""
SMOLLM2 = """\
{% for message in messages %}{% if loop.first and messages[0]['role'] != 'system' %}{{ '<|im_start|>system
You are a helpful AI assistant named SmolLM, trained by Hugging Face<|im_end|>
' }}{% endif %}{{'<|im_start|>' + message['role'] + '
' + message['content'] + '<|im_end|>' + '
'}}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant
' }}{% endif %}"""
"""SmolLM2's own, which drops tools."""
QWENS = ("<|im_end|>", "<|im_start|>", "<|endoftext|>")
OTHERS = (
    *("<bos>", "<eos>", "<s>", "</s>", "<sop>", "[gMASK]", "<start_of_turn>", "<end_of_turn>", "<end_of_utterance>"),
    *(
        "<|begin_of_text|>",
        "<|end_of_text|>",
        "<|eom_id|>",
        "<|constrain|>",
        "<\uff5cbegin\u2581of\u2581sentence\uff5c>",
    ),
    *("<|image>", "<image|>", "<|audio>", "<audio|>", "<|video>", "<|im_end|>", "<|im_start|>"),
)
"""Special tokens of models whose templates do not spell them like others."""
ADDED = tuple(
    f"<{slash}{name}>"
    for name in ("think", "tool_call", "tool_response", "arg_key", "arg_value")
    for slash in ("", "/")
)
CALCULATOR: ToolSchema = {
    "type": "function",
    "function": {
        "name": "calculator",
        "description": "Compute.",
        "parameters": {
            "type": "object",
            "properties": {
                "expression": {"type": "string", "description": "A sum."},
                "digits": {"type": "integer", "description": "After the point."},
            },
            "required": ["expression"],
        },
    },
}


@cache
def made_tokenizer(
    template: str | None = QWEN, *, special: tuple[str, ...] = QWENS, added: tuple[str, ...] = ADDED
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


@cache
def published_templates() -> dict[str, str]:
    """Return the chat templates in the wheel of trl, without its variants for training; none where it is missing."""
    spec = importlib.util.find_spec("trl")
    folders = [Path(each) / "chat_templates" for each in (spec.submodule_search_locations or [])] if spec else []
    paths = [path for folder in folders for path in sorted(folder.glob("*.jinja"))]
    return {path.stem: path.read_text() for path in paths if not path.stem.endswith("_training")}


@cache
def published_tokenizer(name: str) -> Any:
    """Return a tokenizer with one of these templates, which has the special tokens of all of them."""
    spelt = re.findall(
        r"<\|?[\w/]+\|>|<\|[\w/]+\|?>|<\uff5c[\w\u2581]+\uff5c>", " ".join(published_templates().values())
    )
    special = tuple(dict.fromkeys(["<|endoftext|>", *sorted(spelt), *OTHERS]))
    tokenizer = made_tokenizer(published_templates()[name], special=special)
    tokenizer.bos_token = "<bos>"
    return tokenizer
