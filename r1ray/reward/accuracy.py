"""Accuracy reward: the final answer equals the reference (paper section 2.2.2)."""

from __future__ import annotations

import re
from fractions import Fraction

from r1ray.types import Prompt, Response

_NUMBER = re.compile(r"[+-]?\d{1,400}(?:\.\d{1,400})?")
_OPEN, _CLOSE = "<answer>", "</answer>"


def extract_answer(text: str) -> str | None:
    """What stands in the last closed ``<answer>``, None where there is none or it is empty.

    >>> extract_answer("<think>2+2</think><answer> 4 </answer>")
    '4'
    """
    end = text.rfind(_CLOSE)
    start = text.rfind(_OPEN, 0, end) if end >= 0 else -1
    if start < 0:
        return None
    return text[start + len(_OPEN) : end].strip() or None


def normalise(answer: str) -> str | Fraction:
    """Numbers as exact fractions (``29``, ``+29`` and ``29.0`` are one), anything else as it is written."""
    compact = (
        answer.strip().replace(",", "")
        if re.fullmatch(r"[+-]?\d{1,3}(,\d{3})+(\.\d+)?", answer.strip())
        else answer.strip()
    )
    return Fraction(compact) if _NUMBER.fullmatch(compact) else compact


def accuracy_reward(prompt: Prompt, response: Response) -> float:
    """1 where the extracted answer equals the prompt's reference, else 0."""
    answer = extract_answer(response.text)
    return float(answer is not None and normalise(answer) == normalise(prompt.check.answer))
