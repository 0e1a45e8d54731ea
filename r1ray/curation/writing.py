"""Examples of reasoning: how a model is asked for them, and how they are written for fine-tuning (paper section 2.3.1).

    question --asked(way)--> what a model is given --> response --taken_apart--> reasoning, summary --written--> example

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
_FORM = {
    "en": "Write your reasoning between <think> and </think>, then a short summary with the final answer in \\boxed{}.",
    "zh": "请把推理过程写在 <think> 和 </think> 之间,然后写一段简短的总结,并把最终答案写在 \\boxed{} 中。",
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


@dataclass(frozen=True, slots=True)
class Shot:
    """An example that is shown to the model."""

    question: str
    reasoning: str
    summary: str


def asked(question: Question, way: str, *, language: str, shots: Sequence[Shot] = (), response: str = "") -> Question:
    """What the model is given.

    Args:
        way: ``plain``, ``few_shot`` (needs ``shots``), ``direct``, or ``rewrite`` (needs ``response``).
        language: of the instructions: Chinese for ``zh``, else English.
    """
    if way == PLAIN:
        return question
    text = question if isinstance(question, str) else "\n".join(message["content"] for message in question)
    name = "zh" if language.startswith("zh") else "en"
    if way == DIRECT:
        return f"{text}\n\n{_DIRECT[name]} {_FORM[name]}"
    if way == REWRITE:
        return f"{_REWRITE[name]} {_FORM[name]}\n\n<question>\n{text}\n</question>\n<solution>\n{response}\n</solution>"
    shown = [f"{shot.question}\n\n<think>{shot.reasoning}</think>\n{shot.summary}" for shot in shots]
    return "\n\n---\n\n".join([_FORM[name], *shown, text])


def taken_apart(text: str) -> tuple[str, str]:
    """Reasoning and summary of a response; no summary where it has none.

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


def written(reasoning: str, summary: str, *, pattern: str) -> str:
    """An example as the model is to write it: in the ``cold_start`` pattern, or between R1-Zero's ``tags``.

    >>> written("2+2=4", "Four.", pattern="cold_start")
    '<|reasoning|>2+2=4<|reasoning|>Four.'
    """
    if pattern == "cold_start":
        return f"{SPECIAL_TOKEN}{reasoning}{SPECIAL_TOKEN}{summary}"
    return f"<think>{reasoning}</think> <answer>{summary}</answer>"
