"""The "aha" probe (paper section 2.2.4): how often a model goes back on what it wrote, in English and Chinese.

Phrases are regular expressions by name. They are chosen to be said of one's own reasoning: "wait" as an interjection
and not "the wait time", "不对" (not right) and not "不对称" (asymmetric). That somebody says so does not mean that the
answer changes: base models say it too (Liu et al. 2025, "There May Not be Aha Moment in R1-Zero-like Training").

Whole texts are looked at, in time linear in their length: RE2 (pyarrow's) marks in one pass where a phrase without its
lookarounds stands, and there the phrase itself decides. Phrases are therefore written in what ``re`` and RE2 share, and
lookarounds, of which RE2 has none.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import lru_cache
from typing import Final, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from r1ray.types import GroupRecord, Scored, ScoredTrajectory, Trajectory, trajectory_id

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
_MARK: Final = "\0"


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
    """Index of the text."""
    start: int
    """Character at which the phrase begins."""
    phrase: str
    excerpt: str
    """One line: ``"... so x = 5. Wait, that's not right, the root ..."``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Frequency:
    """How often a set of texts goes back on itself."""

    share: float
    """Of texts with at least one phrase."""
    per_completion: float
    per_1k_tokens: float
    num_completions: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ReflectionMetrics(Frequency):
    """And with which phrases."""

    by_phrase: dict[str, int]
    """How often each phrase occurs in all; only those that do, most frequent first."""
    quotes: tuple[Quote, ...]
    """The first of each text that has one, in order."""


def find_reflections(
    text: str, *, english: Mapping[str, str] = ENGLISH, chinese: Mapping[str, str] = CHINESE
) -> list[Reflection]:
    """Every phrase of a text, in order. They do not overlap; of two that begin together the one listed first counts.

    >>> [(found.phrase, found.start) for found in find_reflections("x = 5. Wait, let me double-check it.")]
    [('wait', 7), ('let me check', 13)]
    """
    return find_in_each([text], english=english, chinese=chinese)[0]


def find_in_each(
    texts: Sequence[str], *, english: Mapping[str, str] = ENGLISH, chinese: Mapping[str, str] = CHINESE
) -> list[list[Reflection]]:
    """The phrases of each text."""
    names = (*english, *chinese)
    pattern, relaxed = _patterns(tuple(english.values()), tuple(chinese.values()))
    plain = [text.replace("\u2019", "'").replace(_MARK, "\1") for text in texts]
    marked = pc.replace_substring_regex(
        pa.array(plain, pa.string()), pattern=f"(?i)({relaxed})", replacement=rf"{_MARK}\1{_MARK}"
    )
    return [
        [
            Reflection(names[int((match.lastgroup or "_0")[1:])], *match.span())
            for match in _decide(text, spans, pattern)
        ]
        for text, spans in zip(plain, marked.to_pylist(), strict=True)
    ]


def measure_reflection(
    texts: Sequence[str],
    num_tokens: Sequence[int],
    *,
    english: Mapping[str, str] = ENGLISH,
    chinese: Mapping[str, str] = CHINESE,
    max_quotes: int = 20,
) -> ReflectionMetrics:
    """The metrics of texts and their lengths in tokens."""
    if not texts or len(texts) != len(num_tokens):
        raise ValueError(f"{len(texts)} texts with {len(num_tokens)} lengths; needs at least one, and as many of both.")
    found = find_in_each(texts, english=english, chinese=chinese)
    quotes = [_quote(index, texts[index], hits[0]) for index, hits in enumerate(found) if hits]
    return ReflectionMetrics(
        **asdict(_frequency(found, num_tokens)), by_phrase=_by_phrase(found), quotes=tuple(quotes[:max_quotes])
    )


class _Sampled(NamedTuple):
    """One trajectory of a trained group."""

    record: GroupRecord
    trajectory: Trajectory
    is_right: bool | None
    """None where that was not judged."""
    found: list[Reflection]


def measure_step(
    step: int, records: Sequence[GroupRecord], trajectories: Mapping[str, Trajectory], *, max_quotes: int = 5
) -> dict[str, object]:
    """The line of reflection.jsonl of a step: its :class:`Frequency`, of all trajectories and by the prompts' language,
    the share among right and among wrong ones (null where there are none), the phrases, and quotes.

    Quoted is the phrase of a trajectory that is rarest in the step: of right answers first, then of as many prompts as
    there are.
    """
    judged = [
        (record, trajectories[name], _is_right(scored))
        for record in records
        if record.group is not None
        for scored in record.group.trajectories
        if (name := trajectory_id(record.group_id, scored.index)) in trajectories
    ]
    found = find_in_each([trajectory.text for _, trajectory, _ in judged])
    sampled = [_Sampled(*row, hits) for row, hits in zip(judged, found, strict=True)]
    by_phrase = _by_phrase(found)
    languages = sorted({row.record.prompt.language for row in sampled})
    return {
        "step": step,
        **asdict(_frequency_of(sampled)),
        "share_right": _share([row for row in sampled if row.is_right]),
        "share_wrong": _share([row for row in sampled if row.is_right is False]),
        "by_language": {
            language: asdict(_frequency_of([row for row in sampled if row.record.prompt.language == language]))
            for language in languages
        },
        "by_phrase": by_phrase,
        "quotes": [_quoted(row, by_phrase) for row in _worth_quoting(sampled)[:max_quotes]],
    }


def _is_right(scored: ScoredTrajectory) -> bool | None:
    outcome = scored.outcome
    return outcome.parts["accuracy"] >= 1.0 if isinstance(outcome, Scored) and "accuracy" in outcome.parts else None


def _frequency(found: Sequence[Sequence[Reflection]], num_tokens: Sequence[int]) -> Frequency:
    total = sum(map(len, found))
    return Frequency(
        share=sum(map(bool, found)) / len(found),
        per_completion=total / len(found),
        per_1k_tokens=1000 * total / max(1, sum(num_tokens)),
        num_completions=len(found),
    )


def _frequency_of(sampled: Sequence[_Sampled]) -> Frequency:
    return _frequency([row.found for row in sampled], [row.trajectory.num_policy_tokens for row in sampled])


def _share(sampled: Sequence[_Sampled]) -> float | None:
    return _frequency_of(sampled).share if sampled else None


def _by_phrase(found: Sequence[Sequence[Reflection]]) -> dict[str, int]:
    return dict(Counter(hit.phrase for hits in found for hit in hits).most_common())


def _worth_quoting(sampled: Sequence[_Sampled]) -> list[_Sampled]:
    """Those with a phrase: right, wrong, others; of each kind the first of every group before the second of any."""
    seen: Counter[tuple[str, bool | None]] = Counter()
    ranked = []
    for row in sampled:
        if row.found:
            kind = row.record.group_id, row.is_right
            ranked.append(((True, False, None).index(row.is_right), seen[kind], row))
            seen[kind] += 1
    return [row for _, _, row in sorted(ranked, key=lambda place: place[:2])]


def _quoted(row: _Sampled, by_phrase: Mapping[str, int]) -> dict[str, object]:
    quote = _quote(0, row.trajectory.text, min(row.found, key=lambda hit: by_phrase[hit.phrase]))
    return {
        "group_id": row.record.group_id,
        "prompt_id": row.record.prompt.id,
        "index": row.trajectory.index,
        "phrase": quote.phrase,
        "excerpt": quote.excerpt,
        "is_right": row.is_right,
    }


@lru_cache(maxsize=8)
def _patterns(english: tuple[str, ...], chinese: tuple[str, ...]) -> tuple[re.Pattern[str], str]:
    """All phrases in one expression, each in a group named after its number; and without lookarounds, for RE2."""
    phrases = (*english, *chinese)
    groups = [f"(?P<_{number}>{phrase})" for number, phrase in enumerate(phrases)]
    parts = groups[len(english) :]
    if english:
        # A letter of another script is a boundary: Latin words stand in Chinese text without spaces.
        words = "|".join(groups[: len(english)])
        parts = [f"(?<![{_LETTER}])(?:{words})(?![{_LETTER}]|['-][A-Za-z])", *parts]
    relaxed = "|".join(f"(?:{_without_lookarounds(phrase)})" for phrase in phrases)
    # RE2's classes are of ASCII.
    return re.compile("|".join(parts), re.IGNORECASE | re.ASCII), relaxed


def _without_lookarounds(phrase: str) -> str:
    """Stands wherever the phrase does, and elsewhere."""
    inside = r"[^()\[\\]|\\.|\[(?:[^\]\\]|\\.)*\]"
    for _ in range(3):  # groups in groups
        inside = rf"{inside}|\((?:{inside})*\)"
    return re.sub(rf"\(\?<?[=!](?:{inside})*\)", "", phrase)


def _decide(text: str, marked: str, pattern: re.Pattern[str]) -> Iterator[re.Match[str]]:
    """The matches of ``pattern`` that begin in a marked span. Every match does: RE2 passes over no place where a phrase
    without its lookarounds begins, unless inside such a span."""
    here = end = 0
    for number, piece in enumerate(marked.split(_MARK)):
        position, here = max(here, end), here + len(piece)
        while number % 2 and position < here:
            if match := pattern.match(text, position):
                yield match
                end = match.end()
            position = match.end() if match else position + 1


def _quote(index: int, text: str, found: Reflection) -> Quote:
    start, end = max(0, found.start - _CONTEXT), min(len(text), found.end + _CONTEXT)
    middle = _SPACES.sub(" ", text[start:end]).strip()
    excerpt = f"{'... ' if start else ''}{middle}{' ...' if end < len(text) else ''}"
    return Quote(text=index, start=found.start, phrase=found.phrase, excerpt=excerpt)
