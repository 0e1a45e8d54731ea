"""Format rewards: reasoning and answer in the places that the template defines.

The paper has two patterns: R1-Zero's tags (section 2.2.2) and the cold-start pattern (section 2.3.1). Text goes in, its
parts come out, or None. Only plain string methods count and cut, so the time is linear in the text.
"""

from __future__ import annotations

import unicodedata

from r1ray.reward.extract import SPECIAL_TOKEN as SPECIAL_TOKEN
from r1ray.reward.extract import last_boxed
from r1ray.types import Prompt, Response

TAGS = ("<think>", "</think>", "<answer>", "</answer>")

_BLANK_LETTERS = frozenset("\u115f\u1160\u3164\uffa0\u2800\ufffc\U0001d159")
"""Hangul fillers, the Braille blank, the object replacement, the null notehead: printable in Unicode, but invisible."""


def sections(text: str) -> tuple[str, str] | None:
    """Return reasoning and answer of a text that is exactly ``<think>...</think> <answer>...</answer>``, with each tag
    once and only white space around and between; None for every other text. Linear time.

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


def cold_start_sections(text: str, *, special_token: str = SPECIAL_TOKEN) -> tuple[str, str] | None:
    """Return reasoning and summary of a text that is exactly token, reasoning, token, summary; None for every other
    text.

    >>> cold_start_sections("<|reasoning|>2+2=4<|reasoning|>Four.")
    ('2+2=4', 'Four.')
    """
    stripped = text.strip()
    if stripped.count(special_token) != 2 or not stripped.startswith(special_token):
        return None
    reasoning, _, summary = stripped.removeprefix(special_token).partition(special_token)
    return reasoning, summary


def whole_text(prompt: Prompt, response: Response, *, opening: str = "<think>") -> str:
    """Return the response, preceded by the opening if the prompt's template already wrote it.

    The template has opened the reasoning if the prompt ends with ``opening``, white space aside. A response that opens
    it once more is then wrong, since the whole text has two openings.
    """
    return opening + response.text if prompt.text.rstrip().endswith(opening) else response.text


def judged_text(prompt: Prompt, response: Response) -> str:
    """Return the response as it is searched for its answer: preceded by the opening of either pattern if the prompt's
    template wrote it, so that reasoning which never closes counts as unfinished."""
    for opening in ("<think>", SPECIAL_TOKEN):
        text = whole_text(prompt, response, opening=opening)
        if text is not response.text:
            return text
    return response.text


def says_something(text: str) -> bool:
    """Return whether a text has a letter or a digit of any script. Any amount of white space, zero-width characters and
    punctuation is no reasoning."""
    return any(character.isalnum() and character not in _BLANK_LETTERS for character in text)


def is_visible(text: str) -> bool:
    """Return whether a text has a visible character. Weaker than :func:`says_something`: ``>`` is an answer."""
    return any(
        character.isprintable()
        and not character.isspace()
        and character not in _BLANK_LETTERS
        and not unicodedata.category(character).startswith("M")  # marks are invisible without a letter
        for character in text
    )


def format_reward(prompt: Prompt, response: Response) -> float:
    """Return 1 if the model ended its output itself and used R1-Zero's two tags, with a letter or digit in the first
    and a visible character in the second; else 0."""
    found = sections(whole_text(prompt, response)) if response.finished else None
    return float(found is not None and says_something(found[0]) and is_visible(found[1]))


def cold_start_format_reward(prompt: Prompt, response: Response, *, special_token: str = SPECIAL_TOKEN) -> float:
    """Return 1 if the output is ``|special_token|<reasoning_process>|special_token|<summary>`` (paper section 2.3.1)
    and both parts say something, else 0.

    For another token name a function of your own in the configuration:
    ``mine = functools.partial(cold_start_format_reward, special_token="<|cot|>")``.
    """
    if not response.finished:
        return 0.0
    found = cold_start_sections(whole_text(prompt, response, opening=special_token), special_token=special_token)
    return float(found is not None and says_something(found[0]) and is_visible(found[1]))


def reasoning_of(prompt: Prompt, response: Response, *, special_token: str = SPECIAL_TOKEN) -> str | None:
    """Return the reasoning of a response, well-formed or not: from its first opening to its last closing, or to the end
    if the length limit cut it. None if nothing opens it.

    It reaches to the last closing, so that no part of the reasoning hides behind an early ``</think>``.
    """
    for opening, closing in (("<think>", "</think>"), (special_token, special_token)):
        text = whole_text(prompt, response, opening=opening)
        start = text.find(opening)
        if start >= 0:
            start += len(opening)
            end = text.rfind(closing, start)
            return text[start:] if end < 0 else text[start:end]
    return None


def spoken_text(prompt: Prompt, response: Response) -> str | None:
    """Return the reasoning of a response and all text outside the tags: everything except ``<answer>``, or, in the
    cold-start pattern, except the summary. None if nothing opens the reasoning."""
    text = whole_text(prompt, response)
    if "<think>" not in text:
        return reasoning_of(prompt, response)
    closed = text.rfind("</think>")
    end = text.rfind("</answer>")
    start = text.rfind("<answer>", 0, end) if end >= 0 else -1
    return text if start < max(closed, 0) else f"{text[:start]}\n{text[end + len('</answer>') :]}"


def boxed_answer_of_format(text: str) -> str | None:
    r"""Return the last closed ``\boxed`` in the answer of a well-formed text; None if the tags or the box are wrong.

    Empty reasoning does not invalidate the answer: the format part already pays nothing for it.

    >>> boxed_answer_of_format(r"<think></think><answer>\boxed{3} or \boxed{4}</answer>")
    '4'
    """
    found = sections(text)
    return None if found is None else last_boxed(found[1])
