"""The "aha" probe (paper section 2.2.4): how often a model goes back on what it wrote, in English and Chinese.

Phrases are regular expressions by name. They are chosen to be said of one's own reasoning: "wait" as an interjection
and not "the wait time", "不对" (not right) and not "不对称" (asymmetric). That somebody says so does not mean that the
answer changes: base models say it too (Liu et al. 2025, "There May Not be Aha Moment in R1-Zero-like Training").
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Final, NamedTuple

_NOT_AN_ORDER: Final = "".join(f"(?<!{word} )" for word in ("the", "a", "to", "will", "must", "can", "should", "'t"))
ENGLISH: Final[Mapping[str, str]] = {
    "wait": (
        rf"{_NOT_AN_ORDER}wait(?= ?(?:[,.!?:;\n\u2026\u2014\u2013\uff0c\u3002\uff01\uff1f]|-[- ]|$)"
        r"| (?:no|that|this|i|let|maybe|but|if|a (?:minute|second|moment))\b)"
    ),
    "hold on": r"hold on(?! to\b)",
    "aha": r"aha",
    "let me check": r"let(?:'s| me| us) (?:\w+ )?(?:double[- ])?(?:check|verify)",
    "double-check": r"double[- ]check(?:s|ed|ing)?",
    "re-evaluate": (
        r"re-?(?:(?:check|do|think|read|visit|work|consider|count)(?:s|ed|ing)?"
        r"|(?:examin|evaluat|calculat|comput|trac)(?:e|es|ed|ing)|assess(?:es|ed|ing)?|verif(?:y|ies|ied|ying))"
    ),
    "check again": r"(?:check|think|try|verify|count|look|read)(?:ing)? (?:[\w-]+ ){0,2}again",
    "start over": r"start(?:ing)? (?:all )?over|back to the (?:beginning|start)|from scratch",
    "mistake": (
        r"(?:made|found|spotted|noticed?|there's|there is|must be) (?:a|an|my|another) (?:\w+ )?(?:mistake|error)"
        r"|my mistake|i was wrong|i misread|i misunderstood"
    ),
    "not right": (
        r"(?:that|this|it|something)(?:'s| is| was| seems| looks) (?:(?:also|still|clearly|not|quite) ){0,2}"
        r"(?:(?<!not )(?:wrong|incorrect)|(?<=not )(?:right|correct)|(?<=not quite )(?:right|correct))"
        r"|(?:can't be|cannot be|doesn't seem|does not seem|doesn't look|isn't|wasn't) (?:quite )?(?:right|correct)"
    ),
    "second thought": r"on second thoughts?|scratch that|never ?mind|actually,? no",
    "another approach": (
        r"(?:try|use|take|need) (?:another|an alternative|a different|a new) (?:approach|method|way|strategy|path)"
    ),
}
"""Between words: ``wait`` is not in ``waiter``."""
CHINESE: Final[Mapping[str, str]] = {
    # "Wait" where a sentence begins, or before such words; after a noun it is "and so on".
    "等等": (
        r"(?:(?<![\s\S])|(?<=[。\uff01\uff1f!?…\n])|(?<=[。\uff01\uff1f!?.…\n] )|(?<=[嗯哦啊]\uff0c))等等"
        r"|等等(?=[\uff0c\uff01,!…]{1,2} ?(?:不|这|好像|让我|我是|我好|刚才|似乎|是不是))"
    ),
    "等一下": r"等一下|等一等|稍等|且慢|慢着",
    "啊哈": r"啊哈|恍然大悟",
    "不对": r"(?<!对)不对(?![称等应外立])|不太对|好像错了",
    "重新": r"重新(?:检查|审视|审题|考虑|思考|计算|评估|推导|验证|梳理|分析|理解|想|算|看)",
    "再检查": r"再(?:次|仔细)?(?:检查|验证|确认|核对|审视)|再(?:仔细)?(?:想|算|看)(?:想|看|一下|一遍|一次)",
    "检查一下": r"(?:检查|验证|核对|确认|验算)(?:一下|一遍|一次)",
    "算错": r"(?:算|弄|搞|想|看|写|记)错|[犯出](?:了|了个|个)错|计算有误",
    "换个思路": r"换(?:一个|一种|个|种)?(?:思路|方法|角度|办法)|回过头|从头(?:再)?来",
}
"""Anywhere: Chinese has no spaces between words."""
PUBLISHED_TERMS: Final[Mapping[str, str]] = {
    word: word
    for word in ("wait", "mistake", "however", "but", "retry", "error", "verify", "wrong", "evaluate", "check")
}
"""The ten English words whose frequency the paper's Nature version plots (Extended Data Fig. 1), for ``english``."""

_CONTEXT: Final = 60
_LETTER: Final = r"0-9A-Za-z_\u00c0-\u024f"
_SPACES: Final = re.compile(r"\s+")


class Reflection(NamedTuple):
    """One phrase found in a text."""

    phrase: str
    """Its name in the list."""
    start: int
    end: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Quote:
    """A phrase as it stands, with what stands around it."""

    text: int
    """Index of the completion."""
    start: int
    """Character at which the phrase begins."""
    phrase: str
    excerpt: str
    """One line: ``"... so x = 5. Wait, that's not right, the root ..."``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReflectionFigures:
    """How often a set of completions goes back on itself."""

    share: float
    """Of completions with at least one phrase."""
    per_completion: float
    per_1k_tokens: float
    by_phrase: dict[str, int]
    """How often each phrase occurs in all; only those that do, most frequent first."""
    quotes: tuple[Quote, ...]
    """The first of each completion that has one, in order."""


def find_reflections(
    text: str, *, english: Mapping[str, str] = ENGLISH, chinese: Mapping[str, str] = CHINESE
) -> list[Reflection]:
    """Every phrase of a text, in order. They do not overlap; of two that begin together the one listed first counts.

    >>> [(found.phrase, found.start) for found in find_reflections("x = 5. Wait, let me double-check it.")]
    [('wait', 7), ('let me check', 13)]
    """
    names = (*english, *chinese)
    pattern = _pattern(tuple(english.values()), tuple(chinese.values()))
    return [
        Reflection(names[int((match.lastgroup or "_0")[1:])], match.start(), match.end())
        for match in pattern.finditer(text.replace("\u2019", "'"))
    ]


def measure_reflection(
    texts: Sequence[str],
    num_tokens: Sequence[int],
    *,
    english: Mapping[str, str] = ENGLISH,
    chinese: Mapping[str, str] = CHINESE,
    max_quotes: int = 20,
) -> ReflectionFigures:
    """The figures of completions and their lengths in tokens."""
    if not texts or len(texts) != len(num_tokens):
        raise ValueError(f"{len(texts)} texts with {len(num_tokens)} lengths; needs at least one, and as many of both.")
    found = [find_reflections(text, english=english, chinese=chinese) for text in texts]
    total = sum(map(len, found))
    quotes = [_quote(index, texts[index], hits[0]) for index, hits in enumerate(found) if hits]
    return ReflectionFigures(
        share=sum(map(bool, found)) / len(texts),
        per_completion=total / len(texts),
        per_1k_tokens=1000 * total / max(1, sum(num_tokens)),
        by_phrase=dict(Counter(hit.phrase for hits in found for hit in hits).most_common()),
        quotes=tuple(quotes[:max_quotes]),
    )


@lru_cache(maxsize=8)
def _pattern(english: tuple[str, ...], chinese: tuple[str, ...]) -> re.Pattern[str]:
    """All phrases in one expression, each in a group named after its number."""
    groups = [f"(?P<_{number}>{phrase})" for number, phrase in enumerate((*english, *chinese))]
    parts = groups[len(english) :]
    if english:
        # A letter of another script is a boundary: Latin words stand in Chinese text without spaces.
        words = "|".join(groups[: len(english)])
        parts = [f"(?<![{_LETTER}])(?:{words})(?![{_LETTER}]|['-][A-Za-z])", *parts]
    return re.compile("|".join(parts), re.IGNORECASE)


def _quote(index: int, text: str, found: Reflection) -> Quote:
    start, end = max(0, found.start - _CONTEXT), min(len(text), found.end + _CONTEXT)
    middle = _SPACES.sub(" ", text[start:end]).strip()
    excerpt = f"{'... ' if start else ''}{middle}{' ...' if end < len(text) else ''}"
    return Quote(text=index, start=found.start, phrase=found.phrase, excerpt=excerpt)
