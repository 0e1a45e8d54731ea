"""Templates, which turn a question into the text that the model gets.

question --Form: system prompt, suffix--> question --template--> text, which the engine tokenizes as it stands
"""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias, cast

from r1ray import turns
from r1ray.config import DataConfig
from r1ray.errors import UserError

logger = logging.getLogger(__name__)

Message: TypeAlias = dict[str, str]
Question: TypeAlias = str | list[Message]

R1_ZERO = (
    "A conversation between User and Assistant. The user asks a question, and the Assistant solves it. The assistant "
    "first thinks about the reasoning process in the mind and then provides the user with the answer. The reasoning "
    "process and answer are enclosed within <think> </think> and <answer> </answer> tags, respectively, i.e., <think> "
    "reasoning process here </think> <answer> answer here </answer>. User: {question}. Assistant:"
)
"""The template of DeepSeek-R1-Zero (paper, Table 1)."""
_USER_TURN = re.compile(
    r"<\|im_start\|>user\b|<\|start_header_id\|>user<\|end_header_id\|>|\[INST\]|<start_of_turn>user\b|<\|user\|>"
    r"|<\uff5cUser\uff5c>|<\|start\|>user<\|message\|>"
)
_MARKUP = re.compile(r"<\||\[/INST\]|<end_of_turn>|<\uff5c|</s>")


def messages_in(question: Question) -> list[Message]:
    """Return a question as messages."""
    return [{"role": "user", "content": question}] if isinstance(question, str) else list(question)


@dataclass(frozen=True, slots=True)
class Form:
    """The form of prompts, from keys of ``data``."""

    template: str
    system_prompt: str | None = None
    suffix: str | None = None
    template_arguments: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def of(cls, data: DataConfig) -> Form:
        return cls(data.template, data.system_prompt, data.suffix, data.template_arguments or {})

    def __str__(self) -> str:
        """Return the keys that are set, as typed on the command line."""
        others = {"system_prompt": self.system_prompt, "suffix": self.suffix}
        words = [f"data.{name}={text!r}" for name, text in others.items() if text is not None]
        if self.template_arguments:
            pairs = (f"{name}: {json.dumps(value)}" for name, value in self.template_arguments.items())
            words.append(f"data.template_arguments={{{', '.join(pairs)}}}")
        return ", ".join([f"data.template={self.template}", *words])

    def posed(self, question: Question) -> Question:
        """Return a question with the suffix after the last user message and the system prompt before all messages,
        unless the question has a system prompt of its own. Raises UserError if there is no user message.

        >>> Form("none", suffix="Think first.").posed("1+1?")
        '1+1?\\nThink first.'
        """
        if self.suffix is None and self.system_prompt is None:
            return question
        if isinstance(question, str) and self.system_prompt is None:
            return f"{question}\n{self.suffix}"
        messages = messages_in(question)
        if self.suffix is not None:
            last = max((i for i, message in enumerate(messages) if message["role"] == "user"), default=None)
            if last is None:
                raise UserError("data.suffix: a prompt has no user message that it could follow.")
            messages[last] = {**messages[last], "content": f"{messages[last]['content']}\n{self.suffix}"}
        if self.system_prompt is not None and messages[0]["role"] != "system":
            messages = [{"role": "system", "content": self.system_prompt}, *messages]
        return messages

    def messages(self, question: Question) -> tuple[turns.Message, ...]:
        """Return a question as the conversation that an environment begins with."""
        posed = messages_in(self.posed(question))
        return tuple(turns.Message(cast(turns.Role, each["role"]), each["content"]) for each in posed)


def render(question: Question, *, template: str, apply_chat: Callable[[Sequence[Message]], str] | None = None) -> str:
    """Return the text of a prompt.

    Args:
        question: a string, or chat messages (``{"role", "content"}``).
        template: ``r1_zero`` puts a string, or the messages' contents one below the other, into the paper's
            template; ``chat`` makes a single user message of a string and applies the tokenizer's template;
            ``none`` leaves a string or a single user message unchanged.
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
    return apply_chat(messages_in(question))


def question_in(text: str) -> str:
    """Return the question in a prompt whose template has been applied: the last turn of the user, if chat markup or the
    words of the paper's template mark it, else the whole text.

    >>> question_in(render("1+1?", template="r1_zero")), question_in("<|im_start|>user\\n1+1?<|im_end|>\\n")
    ('1+1?', '1+1?')
    """
    before, _, after = R1_ZERO.partition("{question}")
    if text.startswith(before[:40]) and text.rstrip().endswith(after.lstrip(". ")):
        return text.rstrip().removesuffix(after.lstrip(". ")).rpartition("User: ")[2].rstrip(". ")
    turns = _USER_TURN.split(text)
    return _MARKUP.split(turns[-1], maxsplit=1)[0].strip() if len(turns) > 1 else text


class Renderer:
    """Renderer of questions in a form: :func:`render` with the chat template of a transformers tokenizer."""

    def __init__(self, tokenizer: Any, form: Form) -> None:
        """Raises UserError if the chat template does not use an argument."""
        check_arguments(tokenizer, form)
        self._tokenizer, self._form = tokenizer, form
        self._once = BosOnce(tokenizer, form.template)

    def __call__(self, question: Question) -> str:
        """Return the text. Raises UserError if the template refuses the question."""
        text = render(self._form.posed(question), template=self._form.template, apply_chat=self._apply_chat)
        return self._once(text)

    def _apply_chat(self, messages: Sequence[Message]) -> str:
        arguments = self._form.template_arguments
        try:
            return str(
                self._tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True, **arguments)
            )
        except Exception as error:  # a chat template is a program by the model's author
            roles = ", ".join(message["role"] for message in messages[:4])
            raise UserError(
                f"data.template=chat: its program takes no prompt of the roles {roles:.80}: {error!s:.200}"
            ) from error


def check_arguments(tokenizer: Any, form: Form) -> None:
    """Raise UserError for an argument that the tokenizer's chat template never uses."""
    program = str(tokenizer.chat_template) if form.template_arguments else ""
    for name in form.template_arguments:
        if not re.search(rf"\b{re.escape(name)}\b", program):
            raise UserError(f"data.template_arguments.{name}: the tokenizer's chat template has no such variable.")


class BosOnce:
    """Removes the beginning-of-sequence token from texts, if the tokenizer adds one to every text."""

    def __init__(self, tokenizer: Any, template: str) -> None:
        self._template, self._bos, self._is_said = template, "" if template == "chat" else _added_bos(tokenizer), False

    def __call__(self, text: str) -> str:
        """Return the text without the token. Logs the first removal."""
        if not self._bos or not text.startswith(self._bos):
            return text
        if not self._is_said:
            self._is_said = True
            logger.warning(
                f"data.template={self._template}: prompts begin with {self._bos}, and the tokenizer puts that before "
                "every prompt: the model would read BOS twice. It is removed here, so that the model reads it once."
            )
        return text.removeprefix(self._bos)


def _added_bos(tokenizer: Any) -> str:
    """Return the text of the beginning-of-sequence token, if the tokenizer adds one; else ""."""
    bos = tokenizer.bos_token
    return str(bos) if bos and list(tokenizer("")["input_ids"])[:1] == [tokenizer.bos_token_id] else ""
