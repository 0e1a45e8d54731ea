"""Hand-written renderers for families of models, from the package ``renderers``.

They are found by trying: a renderer fits a model if it makes the same tokens from five conversations as the model's own
template. The package chooses by the model's name, which finds none for a local folder.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from importlib.util import find_spec
from typing import Any

from r1ray.conversation.calls import malformed, with_arguments
from r1ray.conversation.chat_renderer import ConversationSettings
from r1ray.conversation.probes import CALL, CALLING, CONVERSATIONS, FOLLOWED, NAME, TOOL, USER, shared
from r1ray.conversation.template import ChatTemplate
from r1ray.errors import UserError
from r1ray.turns import Action, Message, ToolCall, ToolSchema

logger = logging.getLogger(__name__)
EXTRA = "pip install --no-deps -r launch/requirements-renderers.txt (or the extra: pip install 'r1ray[renderers]')"
PROBLEMS = {
    "invalid_json": "it is no valid JSON",
    "unclosed_block": "it is not closed",
    "missing_name": "it names no tool",
    "malformed_structure": "it has not the form of a call",
}
"""Problems by the package's status of a call. ``unknown_tool`` is not a problem here: the part that serves the call
reports it."""


def is_installed() -> bool:
    """Return whether the package is installed."""
    return find_spec("renderers") is not None


def names() -> list[str]:
    """Return the names of the package's renderers."""
    from renderers import base

    base._populate_registry()
    return sorted(set(base.RENDERER_REGISTRY) - {"default"})


def matches(
    tokenizer: Any, template: ChatTemplate, settings: ConversationSettings, among: Sequence[str]
) -> list[HandmadeRenderer]:
    """Return the renderers that make the same tokens as a model's own template."""
    wanted = [_tokens(template, *conversation) for conversation in CONVERSATIONS]
    found = []
    for name in among:
        try:
            made = HandmadeRenderer(name, tokenizer, template, settings)
            if [made.prompt(*conversation) for conversation in CONVERSATIONS] == wanted:
                found.append(made)
        except Exception as error:  # for another family: a token is missing, or a message is not accepted
            logger.debug("the renderer %s does not fit: %s", name, error)
    return found


def _tokens(template: ChatTemplate, messages: Sequence[Message], tools: Sequence[ToolSchema]) -> list[int] | None:
    text = template.attempt(messages, tools, opens=True)
    return None if text is None else template.encode(text)


class HandmadeRenderer:
    """ChatRenderer role, implemented by one of the package's renderers."""

    def __init__(self, name: str, tokenizer: Any, template: ChatTemplate, settings: ConversationSettings) -> None:
        """Raises the package's error if the tokenizer is of another family, or an argument is unknown."""
        from renderers import config_from_name, create_renderer

        config = config_from_name(name)
        arguments = dict(settings.template_arguments)
        if settings.keep_reasoning:
            arguments["thinking_retention"] = "all"
        self.name, self._tokenizer, self._template, self._settings = name, tokenizer, template, settings
        self._renderer = create_renderer(tokenizer, type(config)(**arguments))
        self.stop_token_ids: tuple[int, ...] = tuple(self._renderer.get_stop_token_ids())
        self._opened = self.prompt([USER], [])

    def prompt(self, messages: Sequence[Message], tools: Sequence[ToolSchema]) -> list[int]:
        try:
            plain = self._template.plain(messages)
            return list(self._renderer.render_ids(plain, tools=self._tools(tools), add_generation_prompt=True))
        except (ValueError, TypeError, KeyError) as error:
            roles = ", ".join(each.role for each in messages[:6])
            raise UserError(
                f"environment.renderer={self.name}: it does not accept the roles {roles}: {error!s:.200}"
            ) from error

    def bridge(
        self,
        messages: Sequence[Message],
        tools: Sequence[ToolSchema],
        prompt_ids: Sequence[int],
        sampled_ids: Sequence[int],
        new_messages: Sequence[Message],
    ) -> list[int] | None:
        before = [*prompt_ids, *sampled_ids]
        turn = self.parse(sampled_ids, tools).message
        plain = self._template.plain([turn, *new_messages])[1:]
        try:
            bridged = self._renderer.bridge_to_next_turn(
                list(prompt_ids), list(sampled_ids), plain, tools=self._tools(tools)
            )
        except Exception as error:  # any unforeseen conversation becomes a branch
            logger.debug("the renderer %s makes no bridge: %s", self.name, error)
            return None
        ids = list(bridged.token_ids) if bridged is not None else []
        return ids[len(before) :] if len(ids) > len(before) and ids[: len(before)] == before else None

    def parse(self, sampled_ids: Sequence[int], tools: Sequence[ToolSchema]) -> Action:
        is_whole = bool(sampled_ids) and sampled_ids[-1] in (*self.stop_token_ids, self._tokenizer.eos_token_id)
        text = self.decode(sampled_ids[:-1] if is_whole else sampled_ids)
        try:
            parsed = self._renderer.parse_response(list(sampled_ids), tools=self._tools(tools), prompt_ids=self._opened)
        except Exception as error:  # for unforeseen text: endless nesting, endless numbers
            logger.debug("the renderer %s cannot read a turn: %s", self.name, error)
            return Action(content="", calls=(malformed(text, "it cannot be read"),), text=text, is_whole=is_whole)
        return Action(
            content=parsed.content.strip(),
            reasoning=(parsed.reasoning_content or "").strip(),
            calls=tuple(_call(each) for each in parsed.tool_calls) if tools else (),
            text=text,
            is_whole=is_whole,
        )

    def decode(self, ids: Sequence[int]) -> str:
        return str(self._tokenizer.decode(list(ids), skip_special_tokens=False))

    @property
    def reads_calls(self) -> bool:
        """Return whether a call of the template is understood."""
        before, whole = (self._template.attempt(each, [TOOL]) or "" for each in ([USER], [USER, CALLING]))
        calls = self.parse(self._template.encode(whole[shared(before, whole) :]), [TOOL]).calls
        return [(each.name, each.arguments, each.problem) for each in calls] == [(NAME, CALL.arguments, "")]

    def branches(self) -> list[str]:
        """Return the kinds of messages that begin a branch after a turn with reasoning, in words; empty if none
        does."""
        return [what for what, tools, turn, new in FOLLOWED if not self._bridges(tools, turn, new)]

    def _bridges(self, tools: Sequence[ToolSchema], turn: Message, new: Message) -> bool:
        """Return whether a turn is bridged to the message after it, for every token that may end it."""
        prompt, whole = self.prompt([USER], tools), self._template.attempt([USER, turn], tools)
        said = self._template.encode(whole or "")
        said = said[shared(prompt, said) :]
        end = next((place for place, each in enumerate(said) if each in self.stop_token_ids), len(said))
        ways = ([*said[:end], stop] for stop in self.stop_token_ids)
        return any(self.bridge([USER], tools, prompt, way, [new]) is not None for way in ways)

    def _tools(self, tools: Sequence[ToolSchema]) -> Any:
        return self._template.harmless.values(list(tools)) or None


def _call(parsed: Any) -> ToolCall:
    if problem := PROBLEMS.get(str(parsed.status)):
        return malformed(parsed.raw, problem, name=parsed.name or "")
    return with_arguments(parsed.name or "", parsed.arguments, parsed.raw)
