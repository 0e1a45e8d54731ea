"""Dialogues as tokens: the text that the model reads, with a mask of its answers.

    Dialogue --pieces--> texts, in the loss or not --encode--> token ids, loss mask

The question and each answer are tokenized separately, as in a rollout, so the learner sees the same tokens as a rollout
engine.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeAlias, TypeVar

import numpy as np

from r1ray.data.checks import UnusableRow
from r1ray.data.dialogues import Dialogue, is_learned
from r1ray.data.messages import flat
from r1ray.data.template import BosOnce, Form, Message, check_arguments, messages_in, render
from r1ray.errors import UserError
from r1ray.types import BoolArray, Int32Array

T = TypeVar("T")
Turn: TypeAlias = dict[str, Any]
"""A message in the form of chat templates, in which tool calls are objects."""
ApplyChat: TypeAlias = Callable[[Sequence[Turn], bool], str]
"""A tokenizer's chat template, with or without its generation prompt."""
OPENINGS = ("<think>\n", "<think>")
"""Texts at the end of reasoning models' generation prompts, and at the beginning of answers in their data."""
NOT_KEPT = (
    "the tokenizer's chat template changes earlier answers of a dialogue (it drops their reasoning, or refuses the "
    "order of roles); needs a template that keeps them, or a row for each answer"
)
_OURS = ("reasoning_content", "tool_calls", "written", "weight")
"""Keys of messages that are not passed to templates unchanged."""
NOT_SHOWN = "the tokenizer's chat template does not show "
SHOWN = 120
"""Number of characters of a template's error that are kept, since reasons are counted by their text."""


@dataclass(frozen=True, slots=True)
class Piece:
    """A part of a dialogue's text."""

    text: str
    is_answer: bool
    ids: tuple[int, ...] | None = None
    """Tokens of the piece, if they are already known."""


def pieces_of(dialogue: Dialogue, *, template: str, apply_chat: ApplyChat | None) -> tuple[Piece, ...]:
    """Return questions and answers in turn.

    With ``chat``, an answer is written as by the template, including its end of turn, with reasoning in the template's
    form or else between <think> and </think>. If the template would change the last answer (it drops the reasoning),
    that answer is put unchanged after the generation prompt. The other templates support neither more than one answer
    nor tools.

    Raises:
        UnusableRow: the template cannot show the dialogue.
    """
    if template == "chat" and apply_chat is not None:
        return _chat_pieces(dialogue, apply_chat)
    if len(dialogue.replies) > 1:
        raise UnusableRow(f"a dialogue of several answers needs data.template=chat, found {template}")
    if dialogue.tools:
        raise UnusableRow(f"its tools need data.template=chat, found {template}")
    asked = dialogue.question
    try:
        head = render(asked if isinstance(asked, str) else list(map(flat, asked)), template=template)
    except UserError as error:
        raise UnusableRow(str(error).removesuffix(".")) from error
    return Piece(head, False), Piece(flat(dialogue.replies[0])["content"], True)


def _chat_pieces(dialogue: Dialogue, apply_chat: ApplyChat) -> tuple[Piece, ...]:
    pieces: list[Piece] = []
    done = ""
    for head, answer in _chat_answers(dialogue, apply_chat):
        if not head.startswith(done):
            raise UnusableRow(NOT_KEPT)
        pieces += [Piece(head[len(done) :], False), Piece(answer, True)]
        done = head + answer
    return tuple(pieces)


def _chat_answers(dialogue: Dialogue, apply_chat: ApplyChat) -> Iterator[tuple[str, str]]:
    """Yield the text before each answer, including the generation prompt, and the answer."""
    turns = [next(_forms(message)) for message in messages_in(dialogue.question)]
    done, num_checked = "", 0
    for index, reply in enumerate(dialogue.replies):
        if not is_learned(reply):
            turns.append(next(_forms(reply)))
            continue
        head = apply_chat(turns, True)
        since = head[len(done) :] if head.startswith(done) else head
        _check_shown(turns[num_checked:], since, tools="" if num_checked else dialogue.tools)
        turn, answer = _answer(reply, turns, head, apply_chat, is_last=index + 1 == len(dialogue.replies))
        yield head, answer
        done = head + answer
        turns.append(turn)
        num_checked = len(turns)


def _forms(message: Message) -> Iterator[Turn]:
    """Yield the forms of a message that templates may accept. The first one has the reasoning of an answer in a key of
    its own."""
    plain: Turn = {key: value for key, value in message.items() if key not in _OURS}
    calls = {"tool_calls": json.loads(message["tool_calls"])} if "tool_calls" in message else {}
    if "reasoning_content" in message:
        thought = message["reasoning_content"]
        yield {**plain, "reasoning_content": thought, **calls}
        yield {**plain, "thinking": thought, **calls}
        text_alone = {key: value for key, value in message.items() if key != "tool_calls"}
        plain["content"] = flat(text_alone)["content"]
    yield {**plain, **calls}


def _answer(
    reply: Message, turns: Sequence[Turn], head: str, apply_chat: ApplyChat, *, is_last: bool
) -> tuple[Turn, str]:
    """Return an answer in the form that the template accepts, and the template's text after the generation prompt."""
    turn: Turn = {}
    for turn in _forms(reply):
        answer = _rendered(head, apply_chat([*turns, turn], False), turn, reply)
        if answer is not None:
            return turn, answer
    if "tool_calls" in reply:
        raise UnusableRow(f"{NOT_SHOWN}the tool calls of an answer")
    if not is_last:
        raise UnusableRow(NOT_KEPT)
    return turn, _after_opening(turn["content"], head)


def _rendered(head: str, whole: str, turn: Turn, reply: Message) -> str | None:
    """Return the template's text after the generation prompt; None if it does not contain the answer unchanged."""
    answer = whole[len(head) :].rstrip()
    texts = (turn["content"], reply.get("reasoning_content", ""))
    is_kept = whole.startswith(head) and all(text.strip() in answer for text in texts)
    return answer if is_kept and all(_shows(call["function"], answer) for call in turn.get("tool_calls", ())) else None


def _shows(call: dict[str, Any], text: str) -> bool:
    """Return whether a text contains a call with its arguments as JSON rather than in Python's notation."""
    arguments = call["arguments"]
    if not isinstance(arguments, dict):
        return call["name"] in text and str(arguments) in text
    is_python = bool(arguments) and str(arguments) in text
    return call["name"] in text and all(key in text for key in arguments) and not is_python


def _check_shown(turns: Sequence[Turn], text: str, *, tools: str) -> None:
    """Raise UnusableRow if a template leaves out a message before an answer, or the tools."""
    for turn in turns:
        if turn["role"] != "assistant" and not _is_in(turn["content"], text):
            raise UnusableRow(f"{NOT_SHOWN}messages of the role {turn['role']:.20}")
    if tools and not all(str(tool["function"].get("name", "")) in text for tool in json.loads(tools)):
        raise UnusableRow(f"{NOT_SHOWN}the tools")


def _is_in(content: str, text: str) -> bool:
    """Return whether a template has kept a content: unchanged, or as JSON, in which only the words are the same."""
    return content.strip() in text or all(word in text for word in set(re.findall(r"\w+", content)))


def _after_opening(content: str, head: str) -> str:
    """Return an answer for a generation prompt that may have opened the reasoning. The reasoning is not opened twice,
    and it is closed before an answer without reasoning."""
    if head.endswith(OPENINGS) and "</think>" not in content:
        return f"\n</think>\n\n{content}"
    return next((content.removeprefix(o) for o in OPENINGS if head.endswith(o) and content.startswith(o)), content)


class DialogueEncoder:
    """Encoder of dialogues to tokens, with a model's tokenizer and a run's template."""

    def __init__(self, tokenizer: Any, *, template: str, form: Form | None = None) -> None:
        """
        Args:
            form: form with the same template; None: only the template. Raises UserError for arguments that the template
                lacks.
        """
        self._tokenizer, self._template, self._form = tokenizer, template, form or Form(template)
        check_arguments(tokenizer, self._form)
        self._once = BosOnce(tokenizer, template)

    def pieces(self, dialogue: Dialogue) -> tuple[Piece, ...]:
        """Call :func:`pieces_of` with the question in the form. Templates that write the arguments of tool calls
        unchanged get them as text."""
        try:
            posed = replace(dialogue, question=self._form.posed(dialogue.question))
        except UserError as error:
            raise UnusableRow(str(error)) from error
        first, *others = self._tried(
            posed, lambda apply_chat: pieces_of(posed, template=self._template, apply_chat=apply_chat)
        )
        return replace(first, text=self._once(first.text)), *others

    def answers(self, posed: Dialogue) -> list[str]:
        """Return only the answers, as the chat template writes them after its generation prompt, even if it writes them
        otherwise in a history. Raises UnusableRow.

        Args:
            posed: dialogue whose question is in the form.
        """
        return self._tried(posed, lambda apply_chat: [answer for _, answer in _chat_answers(posed, apply_chat)])

    def _tried(self, dialogue: Dialogue, render: Callable[[ApplyChat], T]) -> T:
        try:
            return render(self._chat(dialogue, as_text=False))
        except UnusableRow:
            if not any("tool_calls" in message for message in (*messages_in(dialogue.question), *dialogue.replies)):
                raise
        return render(self._chat(dialogue, as_text=True))

    def _chat(self, dialogue: Dialogue, *, as_text: bool) -> ApplyChat:
        tools = json.loads(dialogue.tools) if dialogue.tools else None

        def apply_chat(turns: Sequence[Turn], add_generation_prompt: bool) -> str:
            shown = [_with_text_arguments(turn) if as_text else turn for turn in turns]
            try:
                text: str = self._tokenizer.apply_chat_template(
                    shown,
                    tools=tools,
                    tokenize=False,
                    add_generation_prompt=add_generation_prompt,
                    **self._form.template_arguments,
                )
            except Exception as error:  # a chat template is a program by the model's author
                reason = f"{error!s:.{SHOWN}}".splitlines()[0] if str(error) else type(error).__name__
                raise UnusableRow(f"the tokenizer's chat template refuses the dialogue: {reason}") from error
            return text

        return apply_chat

    def encode(self, dialogues: Sequence[Sequence[Piece]]) -> list[tuple[Int32Array, BoolArray]]:
        """Return token ids [T] and loss mask [T] of each dialogue. The last answer ends with the end of sequence."""
        heads = self._ids([_unknown(pieces[0]) for pieces in dialogues], add_special_tokens=self._template != "chat")
        others = iter(self._ids([_unknown(p) for pieces in dialogues for p in pieces[1:]], add_special_tokens=False))
        eos: int = self._tokenizer.eos_token_id
        encoded = []
        for pieces, head in zip(dialogues, heads, strict=True):
            made = [head, *(next(others) for _ in pieces[1:])]
            parts = [ids if piece.ids is None else [*piece.ids] for piece, ids in zip(pieces, made, strict=True)]
            if pieces[-1].ids is None and (not parts[-1] or parts[-1][-1] != eos):
                parts[-1] = [*parts[-1], eos]
            ids = np.concatenate([np.asarray(part, dtype=np.int32) for part in parts])
            mask = np.repeat([piece.is_answer for piece in pieces], [len(part) for part in parts])
            mask[0] = False  # no token before it could predict it
            encoded.append((ids, mask))
        return encoded

    def _ids(self, texts: list[str], *, add_special_tokens: bool) -> list[list[int]]:
        if not texts:
            return []
        return list(self._tokenizer(texts, add_special_tokens=add_special_tokens, verbose=False)["input_ids"])


def _unknown(piece: Piece) -> str:
    """Return the text of a piece whose tokens are not known; else ""."""
    return piece.text if piece.ids is None else ""


def _with_text_arguments(turn: Turn) -> Turn:
    if "tool_calls" not in turn:
        return turn
    calls = [(call, call["function"]) for call in turn["tool_calls"]]
    texts = [{**made, "arguments": json.dumps(made["arguments"], ensure_ascii=False)} for _, made in calls]
    return {**turn, "tool_calls": [{**call, "function": text} for (call, _), text in zip(calls, texts, strict=True)]}
