"""Prompts that ask a model for examples of reasoning, and the form of examples for fine-tuning (paper section 2.3.1).

    question --asked(way)--> prompt of a model --> response --taken_apart--> reasoning, summary --written--> example

The paper's three ways: few-shot with a long chain of thought, a direct request to reflect and verify, and responses of
R1-Zero made readable. ``plain`` asks as in training, for rejection sampling (2.3.3).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from r1ray.data.template import Question
from r1ray.reward.extract import SPECIAL_TOKEN
from r1ray.reward.format import cold_start_sections, sections

PLAIN, FEW_SHOT, DIRECT, REWRITE = "plain", "few_shot", "direct", "rewrite"
BOXED, PROGRAM, SUMMARY = "boxed", "program", "summary"
"""Kinds of text after the reasoning: a summary with the final answer in a box, with the whole program, or by itself."""
_FORM = {
    "en": "Write your reasoning between <think> and </think>, then a short summary{}.",
    "zh": "请把推理过程写在 <think> 和 </think> 之间,然后写一段简短的总结{}。",
}
_END = {
    "en": {
        BOXED: " with the final answer in \\boxed{}",
        PROGRAM: " and the whole program in one fenced code block; no code blocks in the reasoning",
        SUMMARY: "",
    },
    "zh": {
        BOXED: ",并把最终答案写在 \\boxed{} 中",
        PROGRAM: ",并把完整的程序写在一个代码块中;推理过程中不要使用代码块",
        SUMMARY: "",
    },
}
_DIRECT = {
    "en": "Think the problem through in detail. Reflect on each step, and verify the result before you answer, going "
    "back where something is wrong.",
    "zh": "请详细思考这个问题。对每一步进行反思,在回答之前验证结果,发现错误就回头重来。",
}
_REWRITE = {
    "en": "Below is a question and a correct but hard to read solution. Write the same reasoning again so that a "
    "person can follow it: in English only, in short paragraphs, without repetition, keeping every step that matters.",
    "zh": "下面是一个问题和一份正确但难读的解答。请重写同样的推理,让人能够读懂:"
    "只用中文,分成短段落,不重复,保留每个重要步骤。",
}
_THINK = {
    "en": "Below is a request and the reply to it. Write down the thoughts that lead to this reply, as somebody would "
    "have them who has not answered yet: what is asked for, what matters in it, what the reply should say and why. "
    "Think in English only, in short paragraphs. Do not mention that the reply is known already, and do not write it "
    "out. Write your thoughts between <think> and </think>.",
    "zh": "下面是一个请求和对它的回复。请写出得到这个回复的思考过程,就像还没有回答的人那样去想:"
    "对方要什么,其中什么重要,回复应该说什么、为什么。只用中文思考,分成短段落。不要提到回复已经知道,也不要把回复写出来。"
    "请把思考过程写在 <think> 和 </think> 之间。",
}


@dataclass(frozen=True, slots=True)
class Shot:
    """An example shown to the model."""

    question: str
    reasoning: str
    summary: str


def asked(
    question: Question,
    way: str,
    *,
    language: str,
    shots: Sequence[Shot] = (),
    response: str = "",
    end: str = BOXED,
) -> Question:
    """Return the question as given to the model.

    Args:
        way: ``plain``, ``few_shot`` (needs ``shots``), ``direct``, or ``rewrite`` (needs ``response``).
        language: language of the instructions: Chinese for ``zh``, otherwise English.
        end: kind of text after the reasoning: ``BOXED``, ``PROGRAM`` or ``SUMMARY``.
    """
    if way == PLAIN:
        return question
    text = question if isinstance(question, str) else "\n".join(message["content"] for message in question)
    name = "zh" if language.startswith("zh") else "en"
    form = _FORM[name].format(_END[name][end])
    if way == DIRECT:
        return f"{text}\n\n{_DIRECT[name]} {form}"
    if way == REWRITE:
        return f"{_REWRITE[name]} {form}\n\n<question>\n{text}\n</question>\n<solution>\n{response}\n</solution>"
    shown = [f"{shot.question}\n\n<think>{shot.reasoning}</think>\n{shot.summary}" for shot in shots]
    return "\n\n---\n\n".join([form, *shown, text])


def taken_apart(text: str) -> tuple[str, str]:
    """Return reasoning and summary of a response; the summary is empty if it has none.

    >>> taken_apart("<think>2+2</think> It is 4.")
    ('2+2', 'It is 4.')
    >>> taken_apart("no idea")
    ('no idea', '')
    """
    found = sections(text) or cold_start_sections(text)
    if found is not None:
        return found[0].strip(), found[1].strip()
    reasoning, end, summary = text.rpartition("</think>")
    if not end:
        return text.strip(), ""
    return reasoning.replace("<think>", "", 1).strip(), summary.strip()


def asked_to_think(request: str, reply: str, *, language: str) -> str:
    """Return a prompt that asks a model for the thoughts before a given reply (paper section 2.3.3: a potential chain
    of thought before answering).

    Args:
        language: language of the instruction and the thoughts: Chinese for ``zh``, otherwise English.
    """
    name = "zh" if language.startswith("zh") else "en"
    return f"{_THINK[name]}\n\n<request>\n{request}\n</request>\n<reply>\n{reply}\n</reply>"


def thoughts(text: str) -> str | None:
    """Return the text between the last ``</think>`` and the ``<think>`` before it; None if there is none. A model that
    reasons may have thoughts of its own before those that it was asked for.

    >>> thoughts("<think>They want me to think.</think><think>They say hello.</think>")
    'They say hello.'
    >>> thoughts("They say hello.") is None
    True
    """
    end = text.rfind("</think>")
    start = text.rfind("<think>", 0, max(end, 0))
    found = text[start + len("<think>") if start >= 0 else 0 : max(end, 0)].strip()
    return found or None


def written(reasoning: str, summary: str, *, pattern: str) -> str:
    """Return an example in the form that the model is to write: in the ``cold_start`` pattern, or between R1-Zero's
    ``tags``.

    >>> written("2+2=4", "Four.", pattern="cold_start")
    '<|reasoning|>2+2=4<|reasoning|>Four.'
    """
    if pattern == "cold_start":
        return f"{SPECIAL_TOKEN}{reasoning}{SPECIAL_TOKEN}{summary}"
    return f"<think>{reasoning}</think> <answer>{summary}</answer>"


def keeps_apart(reasoning: str, summary: str, *, pattern: str) -> bool:
    """Return whether an example in this pattern is read back as the same reasoning and summary, since neither contains
    a mark of the pattern."""
    return taken_apart(written(reasoning, summary, pattern=pattern)) == (reasoning.strip(), summary.strip())
