"""Choice of a renderer, by trying: the model's own template if it is append-only, otherwise a hand-written renderer
that makes the same tokens, otherwise the template with branches."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from r1ray.conversation import handmade
from r1ray.conversation.chat_renderer import ChatRenderer, ConversationSettings
from r1ray.conversation.handmade import HandmadeRenderer
from r1ray.conversation.plain import PlainRenderer, refuse_tools
from r1ray.conversation.probes import CALLING, NAME, RESULT, TOLD, TOOL, USER, shared
from r1ray.conversation.template import ChatTemplate
from r1ray.conversation.template_renderer import TemplateRenderer
from r1ray.errors import UserError
from r1ray.turns import ToolSchema

logger = logging.getLogger(__name__)
KEEPS_REASONING = {
    "preserve_thinking": True,
    "keep_past_thinking": True,
    "clear_thinking": False,
    "truncate_history_thinking": False,
    "drop_thinking": False,
}
"""Arguments by which templates keep the reasoning of earlier turns."""


def make_renderer(tokenizer: Any, *, settings: ConversationSettings, says: bool = True) -> ChatRenderer:
    """Return the renderer of a model's conversations. Raises UserError if there is none.

    Args:
        says: warn if the template makes branches, or the chosen renderer makes other tokens. The process that checks a
            run warns; the processes that it starts need not.
    """
    if settings.template != "chat":
        return PlainRenderer(tokenizer, settings)
    renderer, warning = _of_chat(tokenizer, settings)
    if warning and says:
        logger.warning(warning)
    return renderer


def _of_chat(tokenizer: Any, settings: ConversationSettings) -> tuple[TemplateRenderer | HandmadeRenderer, str | None]:
    """Return a renderer, and a warning about it or None."""
    if not tokenizer.chat_template:
        raise UserError(
            f"model={settings.model}: its tokenizer has no chat template; needs a chat model, or "
            "data.template=r1_zero or none and an environment without tools."
        )
    settings = _keeping(tokenizer, settings)
    template = ChatTemplate(tokenizer, settings.template_arguments)
    if settings.renderer == "template":
        return TemplateRenderer(tokenizer, template, settings), None
    if settings.renderer != "auto":
        return _named(tokenizer, template, settings)
    return _chosen(tokenizer, template, settings)


def check_template(
    tokenizer: Any, tools: Sequence[ToolSchema], *, settings: ConversationSettings, renderer: ChatRenderer | None = None
) -> None:
    """Raise UserError if a model cannot be used in an environment, because it has no renderer, or none for tools.

    Args:
        renderer: result of :func:`make_renderer` for these settings; None: it is made here.
    """
    renderer = renderer or make_renderer(tokenizer, settings=settings)
    if not tools:
        return
    if isinstance(renderer, PlainRenderer):
        refuse_tools(tools, settings)
    assert isinstance(renderer, TemplateRenderer | HandmadeRenderer)
    template = ChatTemplate(tokenizer, settings.template_arguments)
    if problem := _tool_problem(template, renderer, tools):
        raise UserError(
            f"model={settings.model}: its chat template cannot be used with tools: {problem} (tried "
            f"environment.renderer={renderer.name}{_not_installed()}). Needs a model whose template has tools, a "
            "template with them in its tokenizer, or an environment without tools."
        )


def _chosen(
    tokenizer: Any, template: ChatTemplate, settings: ConversationSettings
) -> tuple[TemplateRenderer | HandmadeRenderer, str | None]:
    own = TemplateRenderer(tokenizer, template, settings)
    begins = own.branches()
    if own.reads_calls and not begins:
        return own, None
    among = handmade.names() if handmade.is_installed() else []
    tried = [(each, each.branches()) for each in handmade.matches(tokenizer, template, settings, among)]
    chosen: TemplateRenderer | HandmadeRenderer = own
    if tried:
        chosen, begins = min(tried, key=lambda pair: len(pair[1]))
    if not begins:
        return chosen, None
    return chosen, (
        f"environment.renderer={chosen.name}: the chat template of {settings.model} rewrites earlier turns: "
        f"{' and '.join(begins)} after a turn with reasoning begins a branch, which is computed and trained as a "
        f"row of its own (trajectory/branches_mean counts them){_advice(settings)}"
    )


def _advice(settings: ConversationSettings) -> str:
    keep = (
        "" if settings.keep_reasoning else "; environment.keep_reasoning=true keeps the reasoning and avoids branches"
    )
    return f"{keep}{_not_installed()}."


def _not_installed() -> str:
    return "" if handmade.is_installed() else f"; renderers written by hand were not tried: {handmade.EXTRA}"


def _named(
    tokenizer: Any, template: ChatTemplate, settings: ConversationSettings
) -> tuple[HandmadeRenderer, str | None]:
    name = settings.renderer
    if not handmade.is_installed():
        raise UserError(f"environment.renderer={name}: needs the package renderers: {handmade.EXTRA}.")
    if name not in handmade.names():
        raise UserError(f"environment.renderer={name}: needs auto, template or one of {', '.join(handmade.names())}.")
    try:
        made = HandmadeRenderer(name, tokenizer, template, settings)
    except Exception as error:  # the package's own exceptions: a token is missing, an argument is unknown
        raise UserError(
            f"environment.renderer={name}: it does not fit model={settings.model}: {error!s:.300}"
        ) from error
    if handmade.matches(tokenizer, template, settings, [name]):
        return made, None
    return made, (
        f"environment.renderer={name} makes other tokens than the chat template of {settings.model}: the model gets "
        "prompts in another form than its tokenizer makes."
    )


def _keeping(tokenizer: Any, settings: ConversationSettings) -> ConversationSettings:
    """Return settings with the arguments by which a template keeps reasoning, if that is wanted."""
    program = str(tokenizer.chat_template)
    added = {name: value for name, value in KEEPS_REASONING.items() if name in program}
    if not settings.keep_reasoning or not added:
        return settings
    return replace(settings, template_arguments=added | dict(settings.template_arguments))


def _tool_problem(
    template: ChatTemplate, renderer: TemplateRenderer | HandmadeRenderer, tools: Sequence[ToolSchema]
) -> str:
    """Return the reason why a template cannot be used with tools; empty if it can."""
    try:
        without, shown = template.text([USER], opens=True), template.text([USER], tools, opens=True)
    except Exception as error:  # a chat template is a program of the model's maker
        return f"its program fails if tools are given: {error!s:.200}"
    names = [template.harmless(str(each["function"]["name"])) for each in tools]
    if dropped := [name for name in names if shown.count(name) <= without.count(name)]:
        return f"it drops tools silently: {', '.join(dropped):.120} is not in the prompt"
    try:
        told = template.text([USER, CALLING, TOLD], [TOOL], opens=True)
    except Exception as error:  # as above
        return f"its program does not accept a call, or a result of a tool: {error!s:.200}"
    if RESULT not in told:
        return "it drops the results of tools"
    before, whole = template.text([USER], [TOOL], opens=True), template.text([USER, CALLING], [TOOL])
    if NAME not in (turn := whole[shared(before, whole) :]):
        return "it drops the calls of earlier turns"
    if not renderer.reads_calls:
        return f"the form of its calls is unknown: {turn.strip()[:120]!r}"
    return ""
