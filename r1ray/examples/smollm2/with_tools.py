"""SmolLM2-135M-Instruct as an agent's model: its own chat template drops tools in silence, this one shows them.

    tool   name(argument, ...): its description         call   <tool_call>{"name": ..., "arguments": {...}}</tool_call>

The model was never shown a call in this form: it has to be fine-tuned on some (recipe=sft) before there is anything to
reinforce. Every token is one that it has; none is added. ``data.template_arguments={brief: true}`` leaves out what a
tool is for and how it is called, which are 70 of the 102 tokens of a short question to the code interpreter.
"""

from __future__ import annotations

from pathlib import Path

from r1ray.examples.smollm2.model import save_model

TEMPLATE = """\
{%- if tools -%}
<|im_start|>system
{% if messages[0].role == "system" %}{{ messages[0].content }}
{% endif -%}
{%- for tool in tools -%}
{{ tool.function.name }}({{ tool.function.parameters.properties | join(", ") }})
{{- "" if brief else ": " ~ tool.function.description }}
{% endfor -%}
{%- if not brief %}Call: <tool_call>{"name": "tool", "arguments": {"argument": "value"}}</tool_call>{% endif -%}
<|im_end|>
{% endif -%}
{%- for message in messages -%}
{%- if message.role == "tool" -%}
<|im_start|>user
<tool_response>
{{ message.content }}
</tool_response><|im_end|>
{% elif not (tools and loop.first and message.role == "system") -%}
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


def save_model_with_tools(folder: Path) -> int:
    """Write the model with this template into ``folder``; return the number of parameters. Raises UserError where a
    package is missing."""
    from transformers import AutoTokenizer

    parameters = save_model(folder)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    tokenizer.chat_template = TEMPLATE
    tokenizer.save_pretrained(folder)
    return parameters
