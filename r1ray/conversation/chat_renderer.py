"""ChatRenderer, the role that converts messages to tokens and back in an episode, and its settings in a run.

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
    """A chat template as an episode uses it. Sampled tokens are never tokenized again: the tokens of a branch are those
    of the prompt, the sampled ones and those of the bridge, in sequence."""

    name: str
    """``template``, ``plain``, or the name of one of the renderers of the package ``renderers``."""
    stop_token_ids: tuple[int, ...]
    """Tokens that end a turn. The last token of a sampled turn is the one on which it ended."""

    def prompt(self, messages: Sequence[Message], tools: Sequence[ToolSchema]) -> list[int]:
        """Return the tokens of a whole conversation and of the beginning of the policy's turn. Raises UserError if the
        template does not accept the conversation."""
        ...

    def bridge(
        self,
        messages: Sequence[Message],
        tools: Sequence[ToolSchema],
        prompt_ids: Sequence[int],
        sampled_ids: Sequence[int],
        new_messages: Sequence[Message],
    ) -> list[int] | None:
        """Return the tokens that follow sampled ones: the end of the turn if it is missing, the new messages, and the
        beginning of the next turn. None if the template would now write the earlier conversation differently: the next
        turn is then a branch, whose prompt is :meth:`prompt` of all messages.

        Args:
            messages: the conversation of ``prompt_ids``, without the sampled turn.
            prompt_ids: all tokens that the engine was given.
            sampled_ids: the tokens that it sampled, with the token on which it stopped.
            new_messages: the messages that follow the turn.
        """
        ...

    def parse(self, sampled_ids: Sequence[int], tools: Sequence[ToolSchema]) -> Action:
        """Return the policy's action in a turn. A malformed call tells its problem."""
        ...

    def decode(self, ids: Sequence[int]) -> str:
        """Return the text of tokens, including special tokens."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class ConversationSettings:
    """Settings of a run that decide how its conversations become tokens."""

    model: str
    """Name of the model, for messages to the user."""
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
