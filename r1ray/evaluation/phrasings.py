"""Prompts in which the same question is put to a model: as it is, after worked examples, in other words.

The paper (section 5) calls DeepSeek-R1 sensitive to prompts, and worse after examples.
:mod:`r1ray.evaluation.prompt_spread` measures how far pass@1 moves with them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from r1ray.config.evaluation import FEW_SHOT, PARAPHRASES, QUESTION, ZERO_SHOT
from r1ray.data.template import Question, messages_in, question_in
from r1ray.errors import UserError

WORDS = {
    "en": (
        "Solve this problem.\n\n{question}",
        "Please answer the question below.\n\n{question}",
        "{question}\n\nWhat is the answer?",
        "Here is something I need to know: {question}",
    ),
    "zh": (
        "请解答下面的问题。\n\n{question}",
        "请回答以下问题：\n\n{question}",  # noqa: RUF001
        "{question}\n\n答案是什么？",  # noqa: RUF001
        "我想知道：{question}",  # noqa: RUF001
    ),
}
"""Ways to ask that say nothing of how to answer, by language; other languages are asked in English."""


@dataclass(frozen=True, slots=True)
class Shot:
    """A worked example: a question as it is put to the model, and its answer."""

    prompt: str
    response: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Phrasing:
    """One of the prompts."""

    name: str
    """``zero_shot``, ``few_shot``, ``paraphrase_2``, ``own_1``."""
    words: tuple[tuple[str, str], ...] = ()
    """Text around the question, with ``{question}`` in its place, by language; the first is for all others."""
    shots: tuple[Shot, ...] = ()

    def put(self, question: Question, *, template: str, language: str) -> Question:
        """Return the question in these words.

        In the chat template examples are turns of their own before it. Elsewhere they are text: of ``template=none``
        prompt and response as they stand, each example on a line of its own; there words are put around what the
        user says, where chat markup tells that from the rest.

        >>> shot = Shot("1+1?", "2")
        >>> Phrasing(name="few_shot", shots=(shot,)).put("2+2?", template="none", language="en")
        '1+1?2\\n2+2?'
        """
        if self.words:
            words = dict(self.words).get(language, self.words[0][1])
            question = _around(question, words, template=template)
        if not self.shots:
            return question
        if template == "chat" or not isinstance(question, str):
            messages = messages_in(question)
            start = sum(message["role"] == "system" for message in messages)
            turns = [
                {"role": role, "content": text}
                for shot in self.shots
                for role, text in (("user", shot.prompt), ("assistant", shot.response))
            ]
            return [*messages[:start], *turns, *messages[start:]]
        between = "" if template == "none" else "\n"
        return "".join(f"{shot.prompt}{between}{shot.response}\n" for shot in self.shots) + question


def _around(question: Question, words: str, *, template: str) -> Question:
    """Put words around what the user asks last."""
    if not isinstance(question, str):
        messages = list(question)
        last = max((i for i, message in enumerate(messages) if message["role"] == "user"), default=None)
        if last is None:
            raise UserError("prompts: a question has no message of the user's that could be put in other words.")
        messages[last] = {**messages[last], "content": words.replace(QUESTION, messages[last]["content"])}
        return messages
    asked = question_in(question) if template == "none" else question
    before, _, after = question.rpartition(asked)
    return before + words.replace(QUESTION, asked) + after


def phrasings_of(prompts: Sequence[str], shots: Sequence[Shot]) -> list[Phrasing]:
    """Return what ``prompts`` of the configuration asks for: names, and texts of the user's own.

    >>> [each.name for each in phrasings_of(["zero_shot", "paraphrases", "Q: {question}"], [])]
    ['zero_shot', 'paraphrase_1', 'paraphrase_2', 'paraphrase_3', 'paraphrase_4', 'own_1']
    """
    found: list[Phrasing] = []
    for each in prompts:
        if each == ZERO_SHOT:
            found.append(Phrasing(name=each))
        elif each == FEW_SHOT:
            found.append(Phrasing(name=each, shots=tuple(shots)))
        elif each == PARAPHRASES:
            by_number = zip(*WORDS.values(), strict=True)
            found += [
                Phrasing(name=f"paraphrase_{number}", words=tuple(zip(WORDS, words, strict=True)))
                for number, words in enumerate(by_number, start=1)
            ]
        else:
            number = 1 + sum(phrasing.name.startswith("own_") for phrasing in found)
            found.append(Phrasing(name=f"own_{number}", words=(("en", each),)))
    return found
