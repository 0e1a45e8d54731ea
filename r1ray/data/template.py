"""From a question to the text that the model is given."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

from r1ray.errors import UserError

Message: TypeAlias = dict[str, str]
Question: TypeAlias = str | list[Message]

R1_ZERO = (
    "A conversation between User and Assistant. The user asks a question, and the Assistant solves it. The assistant "
    "first thinks about the reasoning process in the mind and then provides the user with the answer. The reasoning "
    "process and answer are enclosed within <think> </think> and <answer> </answer> tags, respectively, i.e., <think> "
    "reasoning process here </think> <answer> answer here </answer>. User: {question}. Assistant:"
)
"""The template of DeepSeek-R1-Zero (paper, Table 1)."""


def render(question: Question, *, template: str, apply_chat: Callable[[Sequence[Message]], str] | None = None) -> str:
    """The prompt's text.

    Args:
        question: a string, or chat messages (``{"role", "content"}``).
        template: ``r1_zero`` puts a string, or the messages' contents one below the other, into the paper's
            template; ``chat`` makes a single user message of a string and applies the tokenizer's template;
            ``none`` takes a string, or a single user message, as it stands.
        apply_chat: the tokenizer's chat template, with the generation prompt; needed by ``chat``.

    >>> render("1+1", template="none")
    '1+1'
    """
    if template == "none":
        if isinstance(question, str):
            return question
        if len(question) > 1 or question[0]["role"] != "user":
            raise UserError("data.template=none needs prompts that are strings, found several chat messages: use chat.")
        return question[0]["content"]
    if template == "r1_zero":
        text = question if isinstance(question, str) else "\n".join(message["content"] for message in question)
        return R1_ZERO.format(question=text.rstrip(". "))
    if apply_chat is None:
        raise UserError("data.template=chat: the model's tokenizer has no chat template; use r1_zero or none.")
    return apply_chat([{"role": "user", "content": question}] if isinstance(question, str) else question)


def renderer(tokenizer: Any, *, template: str) -> Callable[[Question], str]:
    """:func:`render` with a transformers tokenizer's chat template."""

    def apply_chat(messages: Sequence[Message]) -> str:
        try:
            return str(tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True))
        except Exception as error:  # a chat template is a program of the model's maker
            roles = ", ".join(message["role"] for message in messages[:4])
            raise UserError(
                f"data.template=chat: its program takes no prompt of the roles {roles:.80}: {error!s:.200}"
            ) from error

    return lambda question: render(question, template=template, apply_chat=apply_chat)
