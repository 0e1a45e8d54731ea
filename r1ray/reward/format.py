"""Format reward: reasoning and answer between their tags (paper section 2.2.2)."""

from __future__ import annotations

from r1ray.types import Prompt, Response

TAGS = ("<think>", "</think>", "<answer>", "</answer>")


def sections(text: str) -> tuple[str, str] | None:
    """Reasoning and answer of a text that is exactly ``<think>...</think> <answer>...</answer>``, each tag once,
    only white space around and between; None for every other text. Linear time.

    >>> sections("<think>a</think>\\n<answer>4</answer>")
    ('a', '4')
    """
    stripped = text.strip()
    if any(stripped.count(tag) != 1 for tag in TAGS):
        return None
    if not (stripped.startswith("<think>") and stripped.endswith("</answer>")):
        return None
    reasoning, _, rest = stripped.removeprefix("<think>").partition("</think>")
    between, _, answer = rest.removesuffix("</answer>").partition("<answer>")
    if between.strip() or any(tag in reasoning for tag in TAGS):
        return None
    return reasoning, answer


def format_reward(prompt: Prompt, response: Response) -> float:
    """1 where the model ended its output and kept to the two tags with some reasoning between the first, else 0."""
    found = sections(response.text) if response.finished else None
    return float(found is not None and bool(found[0].strip()))
