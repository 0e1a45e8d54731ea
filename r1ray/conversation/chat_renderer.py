"""Messages to tokens and back: the role that an episode needs, and what a run says of it.

messages --prompt--> tokens --engine--> sampled tokens --parse--> Action
                        ^                                            |
                        `---- bridge <-- new messages <-- environment
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from r1ray.config import EnvironmentConfig
from r1ray.data.template import Form
from r1ray.turns import Action, Message, ToolSchema


class ChatRenderer(Protocol):
    """A chat template as an episode uses it. What was sampled is never tokenized again: the tokens of a branch are the
    prompt's, the sampled ones and the bridge's, one after the other."""

    name: str
    """``template``, ``plain``, or one of ``renderers``'."""
    stop_token_ids: tuple[int, ...]
    """Tokens that end a turn. A sampled turn has the one on which it ended as its last token."""

    def prompt(self, messages: Sequence[Message], tools: Sequence[ToolSchema]) -> list[int]:
        """Return the tokens of a whole conversation and of the beginning of the policy's turn. Raises UserError where
        the template takes no such conversation."""
        ...

    def bridge(
        self,
        messages: Sequence[Message],
        tools: Sequence[ToolSchema],
        prompt_ids: Sequence[int],
        sampled_ids: Sequence[int],
        new_messages: Sequence[Message],
    ) -> list[int] | None:
        """Return the tokens that follow sampled ones: the end of the turn where it is missing, the new messages, the
        beginning of the next turn. None where the template would write what came before in another way: the next turn
        is a branch then, whose prompt is :meth:`prompt` of all messages.

        Args:
            messages: the conversation of ``prompt_ids``: without the sampled turn.
            prompt_ids: all that the engine was given.
            sampled_ids: what it sampled, with the token on which it stopped.
            new_messages: what follows the turn.
        """
        ...

    def parse(self, sampled_ids: Sequence[int], tools: Sequence[ToolSchema]) -> Action:
        """Return what the policy did in a turn. A call that is malformed says why."""
        ...

    def decode(self, ids: Sequence[int]) -> str:
        """Return the text of tokens, special ones with it."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class ConversationSettings:
    """Keys of a run that decide how its conversations become tokens."""

    model: str
    """Its name, for what is said to the user."""
    renderer: str = "auto"
    """``environment.renderer``."""
    keep_reasoning: bool = False
    """``environment.keep_reasoning``."""
    template: str = "chat"
    """``data.template``."""
    template_arguments: Mapping[str, Any] = field(default_factory=dict)
    """``data.template_arguments``."""

    @classmethod
    def of(cls, environment: EnvironmentConfig, form: Form, *, model: str) -> ConversationSettings:
        return cls(
            model=model,
            renderer=environment.renderer,
            keep_reasoning=environment.keep_reasoning,
            template=form.template,
            template_arguments=form.template_arguments,
        )
