"""Shaping rewards: small rules besides accuracy, each off unless the configuration names it.

Functions with the signature ``(prompt, response)`` are for the configuration. For other numbers than the published
ones, name a ``functools.partial`` of your own. The functions of plain numbers contain the formulas.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from typing import Final

from r1ray.algo.variants.overlong import overlong_penalty
from r1ray.checks import CodeTests
from r1ray.reward.extract import after_think, answer_section
from r1ray.reward.format import TAGS, whole_text
from r1ray.reward.program import fenced_blocks
from r1ray.sandbox.languages import LANGUAGES
from r1ray.types import Prompt, Response

# One character of a script without spaces between words, or a run of anything else.
_UNSPACED: Final = "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3005-\u30ff\u3400-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
_UNIT: Final = re.compile(f"[{_UNSPACED}]|[^\\s{_UNSPACED}]+")
_RUN: Final = re.compile(r"([^\W\d_]\S{0,31}?)\1{2,}")
"""A word repeated three times or more without a space: ``waitwaitwait``."""
_LONGEST_WORD: Final = 9
"""Length below which such a run is a word: ``hahaha``."""


def ngram_repetition(words: Sequence[str], *, n: int = 3) -> float:
    """Return the share of n-grams that occurred before; 0 if there are fewer than n words.

    >>> ngram_repetition("a b c a b c".split())
    0.25
    """
    if n < 1:
        raise ValueError(f"n is {n}, and has to be at least 1.")
    total = len(words) - n + 1
    if total < 1:
        return 0.0
    distinct = len(set(zip(*(words[start : start + total] for start in range(n)), strict=True)))
    return 1.0 - distinct / total


def repetition_penalty(prompt: Prompt, response: Response, *, n: int = 3, max_penalty: float = -1.0) -> float:
    """Return the share of repeated n-grams times ``max_penalty``, in [-1, 0] by default.

    The rule of open-r1 (``repetition_penalty``, n = 3), after the n-gram penalty of Yeo et al. 2025 ("Demystifying
    Long Chain-of-Thought Reasoning in LLMs"). Words are separated by white space and taken in lower case; in scripts
    without spaces they are characters. A word that is repeated without spaces counts as that many words.
    """
    return ngram_repetition(_UNIT.findall(_RUN.sub(_apart, response.text.lower())), n=n) * max_penalty


def _apart(run: re.Match[str]) -> str:
    word, text = run[1], run[0]
    return text if len(text) < _LONGEST_WORD else f" {word}" * (len(text) // len(word)) + " "


def soft_overlong(prompt: Prompt, response: Response, *, cache_tokens: int | None = None) -> float:
    """Return :func:`overlong_penalty` of the response's length, under the limit that it was sampled with.

    The cache is by default a fifth of the limit: DAPO's 4096 of 20480.

    Raises:
        ValueError: the response comes without its length. The part then is 0 and is counted as failed.
    """
    num_tokens, max_tokens = response.num_tokens, response.max_tokens
    if num_tokens is None or max_tokens is None:
        raise ValueError("soft_overlong needs the number of tokens of the response and its limit.")
    cache = max(1, max_tokens // 5) if cache_tokens is None else cache_tokens
    return overlong_penalty(num_tokens, max_tokens=max_tokens, cache_tokens=cache)


def cosine_length(
    is_correct: bool,
    num_tokens: int,
    max_tokens: int,
    *,
    correct: tuple[float, float] = (2.0, 1.0),
    wrong: tuple[float, float] = (-10.0, 0.0),
    exceeded: float = -10.0,
) -> float:
    """Return the cosine reward of Yeo et al. 2025: from the first number of the pair at length 0 to the second at the
    limit, along half a cosine; ``exceeded`` if the limit is reached, right or wrong.

    With the published numbers a right answer is worth more if it is short, and a wrong one costs less if the model
    thought longer. On the scale of rules that give 0 or 1: ``correct=(1.0, 0.5), wrong=(-0.5, 0.0), exceeded=-0.5``.

    >>> cosine_length(True, 0, 100), cosine_length(False, 50, 100)
    (2.0, -5.0)
    """
    if max_tokens < 1:
        raise ValueError(f"max_tokens is {max_tokens}, and has to be at least 1.")
    if num_tokens >= max_tokens:
        return exceeded
    first, last = correct if is_correct else wrong
    return last + 0.5 * (first - last) * (1.0 + math.cos(math.pi * num_tokens / max_tokens))


def tag_count(prompt: Prompt, response: Response) -> float:
    """Return a quarter for each of R1-Zero's four tags that occurs exactly once, in any order (open-r1's ``tag_count``,
    without its line breaks). The opening that the template wrote counts.

    It rewards tags without structure, so use it beside ``format``, early in training.
    """
    text = whole_text(prompt, response)
    return sum(text.count(tag) == 1 for tag in TAGS) / len(TAGS)


def code_format(prompt: Prompt, response: Response) -> float:
    """Return 1 if the answer has a closed Markdown fence that names the language that the prompt asks for (open-r1's
    ``code_format``), else 0; 0 for prompts that are not about code. The answer is ``<answer>`` if there is one, else
    the text after the reasoning."""
    if not isinstance(prompt.check, CodeTests):
        return 0.0
    final = after_think(whole_text(prompt, response))
    section = answer_section(final)
    blocks = fenced_blocks(final if section is None else section)
    language = prompt.check.language
    names = {language, *LANGUAGES[language].fences}
    return float(any(name in names and body.strip() for name, body in blocks))
