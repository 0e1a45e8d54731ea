"""Rewards with a hole each, as users write them."""

from __future__ import annotations

import re

from r1ray.checks import MathAnswer
from r1ray.types import Prompt, Response


def answer_of(prompt: Prompt) -> str:
    assert isinstance(prompt.check, MathAnswer)
    return prompt.check.answer


def last_number_anywhere(prompt: Prompt, response: Response) -> float:
    numbers = re.findall(r"\d+", response.text)
    return float(bool(numbers) and numbers[-1] == answer_of(prompt))


def substring(prompt: Prompt, response: Response) -> float:
    return float(answer_of(prompt) in response.text)


def length(prompt: Prompt, response: Response) -> float:
    return min(1.0, len(response.text) / 1000)


def format_alone(prompt: Prompt, response: Response) -> float:
    return float(re.fullmatch(r"<think>.*</think>\s*<answer>.*</answer>", response.text, re.DOTALL) is not None)


def reads_the_prompt(prompt: Prompt, response: Response) -> float:
    asked = set(prompt.text.lower().split())
    return len(asked & set(response.text.lower().split())) / len(asked)


def exact(prompt: Prompt, response: Response) -> float:
    """One without a hole."""
    found = re.fullmatch(r"<think>.*</think>\s*<answer>(.*)</answer>", response.text, re.DOTALL)
    return float(found is not None and found[1].strip() == answer_of(prompt))


def raises_on_nothing(prompt: Prompt, response: Response) -> float:
    return exact(prompt, response) * (response.text[0] == "<")
