"""Plain renderer of turns for a model without a chat template, in worlds without tools.

r1_zero:  ... User: QUESTION. Assistant: TURN EOS \\nUser: OBSERVATION. Assistant: TURN ...
none:     QUESTION TURN EOS \\nOBSERVATION\\n TURN ...
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from r1ray.conversation.chat_renderer import ConversationSettings
from r1ray.conversation.harmless import Harmless
from r1ray.data.template import BosOnce, render
from r1ray.errors import UserError
from r1ray.turns import Action, Message, ToolSchema


class PlainRenderer:
    """ChatRenderer role for ``data.template=r1_zero`` or ``none``. It is always append-only."""

    name = "plain"

    def __init__(self, tokenizer: Any, settings: ConversationSettings) -> None:
        """Raises UserError if the tokenizer has no token that would end a turn."""
        if tokenizer.eos_token_id is None:
            raise UserError(f"model={settings.model}: its tokenizer has no end-of-sequence token, which ends a turn.")
        self._tokenizer, self._settings, self._harmless = tokenizer, settings, Harmless(tokenizer)
        self._once = BosOnce(tokenizer, settings.template)
        self.stop_token_ids: tuple[int, ...] = (tokenizer.eos_token_id,)

    def prompt(self, messages: Sequence[Message], tools: Sequence[ToolSchema]) -> list[int]:
        refuse_tools(tools, self._settings)
        first = next((place for place, each in enumerate(messages) if each.role == "assistant"), len(messages))
        question = "\n".join(self._harmless(each.content) for each in messages[:first])
        text = render(question, template=self._settings.template)
        for each in messages[first:]:
            text += f" {self._said(each)}" if each.role == "assistant" else self._asked(each)
        return list(self._tokenizer(self._once(text))["input_ids"])

    def bridge(
        self,
        messages: Sequence[Message],
        tools: Sequence[ToolSchema],
        prompt_ids: Sequence[int],
        sampled_ids: Sequence[int],
        new_messages: Sequence[Message],
    ) -> list[int] | None:
        if any(each.role == "assistant" for each in new_messages):
            return None
        text = "".join(map(self._asked, new_messages))
        closing = [] if list(sampled_ids[-1:]) == list(self.stop_token_ids) else list(self.stop_token_ids)
        return [*closing, *self._tokenizer(text, add_special_tokens=False)["input_ids"]]

    def parse(self, sampled_ids: Sequence[int], tools: Sequence[ToolSchema]) -> Action:
        is_whole = list(sampled_ids[-1:]) == list(self.stop_token_ids)
        text = self.decode(sampled_ids[:-1] if is_whole else sampled_ids)
        before, closed, after = text.partition("</think>")
        is_thought = bool(closed) and before.lstrip().startswith("<think>")
        return Action(
            content=(after if is_thought else text).strip(),
            reasoning=before.lstrip().removeprefix("<think>").strip() if is_thought else "",
            text=text,
            is_whole=is_whole,
        )

    def decode(self, ids: Sequence[int]) -> str:
        return str(self._tokenizer.decode(list(ids), skip_special_tokens=False))

    def _asked(self, message: Message) -> str:
        content = self._harmless(message.content)
        return f"\nUser: {content}\nAssistant:" if self._settings.template == "r1_zero" else f"\n{content}\n"

    def _said(self, message: Message) -> str:
        thought = f"<think>{message.reasoning}</think> " if message.reasoning else ""
        return f"{self._harmless(thought + message.content)}{self._tokenizer.eos_token}"


def refuse_tools(tools: Sequence[ToolSchema], settings: ConversationSettings) -> None:
    """Raise UserError if a plain form would have to show tools."""
    if tools:
        names = ", ".join(str(each["function"]["name"]) for each in tools)
        raise UserError(
            f"data.template={settings.template} has no place for tools, and the environment offers {names:.120}; "
            "needs data.template=chat, and a model whose chat template shows tools."
        )
