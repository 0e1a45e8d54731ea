"""Readability filters, which choose examples of reasoning fit to learn from (paper sections 2.3.1 and 2.3.3).

    Example --apply_filters(filters, options)--> None (kept), or the name of the first filter that it fails, and why

Each filter is a predicate with a name of its own; ``COLD_START`` and ``REJECTION_SAMPLING`` list those of the two
stages, the cheap ones first. The paper gives no numbers: those of ``FilterOptions`` are r1ray's. Lengths are counted in
words; a Chinese character is one word.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, fields
from typing import Final, NamedTuple, TypeAlias

import numpy as np

from r1ray.curation.markdown import broken_markup, fences, without_fences
from r1ray.curation.words import UInt64Array, ngram_hashes, words
from r1ray.data.prose import prose
from r1ray.reward.format import says_something
from r1ray.reward.language import classify_words, language_problem, language_share
from r1ray.reward.shaping import ngram_repetition

_BLOCK: Final = re.compile(r"\s*(?:[-*+]\s|\d{1,3}[.)]\s|#{1,6}\s|[|>]|0\s*$)")
"""Pattern of a line that begins a block of its own: list item, heading, table row, quotation, or the 0 with which
``prose`` replaces a formula or code on a line of its own."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Example:
    """Response that may become training data, with its parts."""

    prompt: str
    reasoning: str
    summary: str
    language: str
    """Language of the prompt, in which the reasoning has to be."""
    response: str
    """Response as sampled."""
    is_cut: bool
    """True if the length limit ended it."""
    num_tokens: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class FilterOptions:
    """Limits of the filters."""

    min_language_share: float = 0.9
    """Least share of the reasoning's words in the language, outside code and formulae."""
    max_repetition: float = 0.3
    """Largest share of n-grams that occurred before."""
    repetition_n: int = 10
    """Words of these n-grams; long, so that naming the same things again is no repetition."""
    max_loops: int = 4
    """Least number of times that the same words have to follow one another to be a loop."""
    min_loop_words: int = 40
    """Least total number of words in a loop."""
    max_loop_period: int = 200
    """Longest period of a loop. Unit: words."""
    max_tokens: int | None = None
    max_characters: int | None = None
    max_paragraph_words: int = 300

    def __post_init__(self) -> None:
        """Raise ValueError for invalid limits: shares outside 0 to 1, counts below 1."""
        for each in fields(self):
            value, is_share = getattr(self, each.name), isinstance(each.default, float)
            kinds = (int, float) if is_share else (int,)
            if value is None and each.default is None:
                continue
            if isinstance(value, bool) or not isinstance(value, kinds) or not (0 if is_share else 1) <= value:
                raise ValueError(f"{each.name}={value}: needs {'a share' if is_share else 'a number of at least 1'}")
            if is_share and value > 1:
                raise ValueError(f"{each.name}={value}: needs at most 1")


Filter: TypeAlias = Callable[[Example, FilterOptions], str | None]
"""Returns the reason why an example is left out; None if it is kept."""


class Rejection(NamedTuple):
    """The filter that left an example out, and the reason."""

    filter: str
    reason: str


def apply_filters(example: Example, filters: Sequence[Filter], options: FilterOptions) -> Rejection | None:
    """Return the first filter that the example fails; None if it passes all."""
    for check in filters:
        reason = check(example, options)
        if reason is not None:
            return Rejection(check.__name__, reason)
    return None


def cut(example: Example, options: FilterOptions) -> str | None:
    """Reject an unfinished response: it has no readable end, and no summary (section 2.3.1)."""
    return "ended by the length limit" if example.is_cut else None


def no_summary(example: Example, options: FilterOptions) -> str | None:
    """Reject a response without a summary after the reasoning, which the readable pattern needs (section 2.3.1)."""
    return None if says_something(example.summary) else "the summary is empty"


def over_long(example: Example, options: FilterOptions) -> str | None:
    """Reject more tokens or characters than allowed (section 2.3.1: not reader-friendly).

    Raises:
        ValueError: there is a limit on tokens, but the example lacks its number of tokens.
    """
    if options.max_tokens is not None:
        if example.num_tokens is None:
            raise ValueError(f"max_tokens={options.max_tokens} needs the number of tokens of each example.")
        if example.num_tokens > options.max_tokens:
            return f"{example.num_tokens} tokens"
    if options.max_characters is not None and len(example.response) > options.max_characters:
        return f"{len(example.response)} characters"
    return None


def code_block(example: Example, options: FilterOptions) -> str | None:
    """Reject fenced code in the chain of thought (section 2.3.3). In the summary, programming questions need it; code
    between single backticks is prose."""
    found = sum(1 for _ in fences(example.reasoning))
    return f"{found} fenced blocks in the reasoning" if found else None


def broken_markdown(example: Example, options: FilterOptions) -> str | None:
    """Reject Markdown that does not render as intended (section 2.3.1: poor formatting): see
    :func:`r1ray.curation.markdown.broken_markup`. Reasoning and summary are checked separately."""
    for name, text in (("reasoning", example.reasoning), ("summary", example.summary)):
        fault = broken_markup(text)
        if fault is not None:
            return f"{name}: {fault}"
    return None


def long_paragraph(example: Example, options: FilterOptions) -> str | None:
    """Reject a paragraph of too many words in the chain of thought (section 2.3.3).

    Paragraphs are those of Markdown: lines up to a blank one. List items, headings, table rows and quotations are
    paragraphs of their own; a formula counts as a word.
    """
    longest = max((len(words(paragraph)) for paragraph in paragraphs(example.reasoning)), default=0)
    return f"a paragraph of {longest} words" if longest > options.max_paragraph_words else None


def repetition(example: Example, options: FilterOptions) -> str | None:
    """Reject repetition (section 2.3.1: R1-Zero's readability): many n-grams that occurred before, or the same words
    many times in a row. A row of numbers or single letters, as in a sequence or table, is no loop."""
    for text in (example.reasoning, example.summary):  # separately: a summary may repeat the program that it explains
        said = words(text)
        share = ngram_repetition(said, n=options.repetition_n)
        if share > options.max_repetition:
            return f"{share:.0%} of the {options.repetition_n}-grams were there before"
        loop = longest_loop(said, max_period=options.max_loop_period, min_turns=options.max_loops)
        if len(loop) >= options.min_loop_words:
            return f"{len(loop)} words in a loop: {' '.join(loop[:8])}..."
    return None


def mixed_language(example: Example, options: FilterOptions) -> str | None:
    """Reject a chain of thought with too few words in the prompt's language (sections 2.3.1 and 2.3.3), as measured by
    the language-consistency reward. Reasoning without words, such as formulae only, mixes nothing; an example in a
    language that cannot be measured is left out."""
    problem = language_problem(example.language)
    if problem is not None:
        return f"language {example.language!r} cannot be measured"
    share = language_share(example.reasoning, example.language)
    if share >= options.min_language_share:
        return None
    if share == 0.0 and not any(word.size for word in classify_words(example.reasoning)):
        return None
    return f"{share:.0%} of the words are in the language {example.language!r}"


COLD_START: Final[tuple[Filter, ...]] = (cut, no_summary, over_long, broken_markdown, repetition, mixed_language)
"""Filters of section 2.3.1."""
REJECTION_SAMPLING: Final[tuple[Filter, ...]] = (
    cut,
    no_summary,
    over_long,
    code_block,
    broken_markdown,
    long_paragraph,
    repetition,
    mixed_language,
)
"""Filters of section 2.3.3."""


def paragraphs(text: str) -> Iterator[str]:
    """Yield the paragraphs of a text, without code and formulae."""
    lines: list[str] = []
    for line in prose(without_fences(text)).splitlines():
        if not line.strip() or _BLOCK.match(line):
            yield " ".join(lines)
            lines = []
        lines.append(line)
        if line.strip() == "0":
            lines = []
    yield " ".join(lines)


def longest_loop(said: Sequence[str], *, max_period: int, min_turns: int) -> Sequence[str]:
    """Return the longest part of the words that repeats the same few words, at least one of which has two letters or
    more, at least ``min_turns`` times in a row.

    >>> longest_loop("so we wait and wait and wait and wait then".split(), max_period=5, min_turns=3)
    ['wait', 'and', 'wait', 'and', 'wait', 'and', 'wait']
    """
    hashes = ngram_hashes(said, 1)
    start, end = 0, 0
    for period in range(1, min(max_period, len(said) // min_turns) + 1):
        for first, last in _same_runs(hashes, period):
            if last - first < max(min_turns * period, end - start + 1):
                continue
            if any(len(word) > 1 or not word.isascii() for word in said[first : first + period] if word.isalpha()):
                start, end = first, last
    return said[start:end]


def _same_runs(hashes: UInt64Array, period: int) -> list[tuple[int, int]]:
    """Return the parts in which each word equals the one ``period`` words before it, including the first period."""
    is_same = np.concatenate(([False], hashes[period:] == hashes[:-period], [False]))
    edges = np.flatnonzero(is_same[1:] != is_same[:-1]).reshape(-1, 2)
    return [(int(first), int(last) + period) for first, last in edges]
