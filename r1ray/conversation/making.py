"""Choice of a renderer, by trying."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from r1ray.conversation.chat_renderer import ChatRenderer, ConversationSettings
from r1ray.conversation.template_renderer import TemplateRenderer
from r1ray.turns import ToolSchema


def make_renderer(tokenizer: Any, *, settings: ConversationSettings) -> ChatRenderer:
    """Return the renderer of a model's conversations. Raises UserError where there is none."""
    return TemplateRenderer(tokenizer, settings)


def check_template(tokenizer: Any, tools: Sequence[ToolSchema], *, settings: ConversationSettings) -> None:
    """Raise UserError for a template that cannot be used with tools."""
