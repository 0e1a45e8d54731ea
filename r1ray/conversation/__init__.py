"""Conversion of messages to tokens and back, by a model's chat template. Sampled tokens are never tokenized again."""

from r1ray.conversation.chat_renderer import ChatRenderer, ConversationSettings
from r1ray.conversation.dialogue_encoder import ConversationEncoder
from r1ray.conversation.making import check_template, make_renderer

__all__ = ["ChatRenderer", "ConversationEncoder", "ConversationSettings", "check_template", "make_renderer"]
