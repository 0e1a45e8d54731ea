"""The file layouts that users already have, each turned into the one form that r1ray works with."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

from r1ray.data.checks import MalformedRow, parse_check
from r1ray.data.template import Question
from r1ray.types import Check, CodeTests, MathAnswer

Row: TypeAlias = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class RawPrompt:
    """A row before its template is applied."""

    id: str
    question: Question
    check: Check
    domain: str
    language: str


@dataclass(frozen=True, slots=True)
class Layout:
    name: str
    matches: Callable[[frozenset[str]], bool]
    """Whether a file with these columns is of this layout."""
    read: Callable[[Row, int], RawPrompt]


def _question(value: Any) -> Question:
    if isinstance(value, str) and value:
        return value
    if isinstance(value, list) and value:
        if all(
            isinstance(m, dict) and isinstance(m.get("role"), str) and isinstance(m.get("content"), str) for m in value
        ):
            return [{"role": m["role"], "content": m["content"]} for m in value]
        raise MalformedRow("prompt is a list, but not of {role, content} messages")
    raise MalformedRow(f"prompt needs a string or chat messages, found {value!r:.60}")


def _text(value: Any) -> str:
    return "" if value is None else str(value).strip()


def _read_own(row: Row, index: int) -> RawPrompt:
    check = parse_check(row.get("check"))
    return RawPrompt(
        id=_text(row.get("id")) or str(index),
        question=_question(row.get("prompt")),
        check=check,
        domain=_text(row.get("domain")) or ("code" if isinstance(check, CodeTests) else "math"),
        language=_text(row.get("language")) or "en",
    )


def _read_verl(row: Row, index: int) -> RawPrompt:
    reward_model = row.get("reward_model")
    if not isinstance(reward_model, Mapping):
        raise MalformedRow(f"reward_model needs an object with ground_truth, found {reward_model!r:.60}")
    extra = row.get("extra_info") if isinstance(row.get("extra_info"), Mapping) else {}
    assert isinstance(extra, Mapping)
    return RawPrompt(
        id=_text(extra.get("index")) or str(index),
        question=_question(row.get("prompt")),
        check=MathAnswer(_text(reward_model.get("ground_truth"))),
        domain=_text(row.get("ability")) or _text(row.get("data_source")) or "math",
        language="en",
    )


def final_answer(solution: str) -> str:
    r"""The answer inside a worked solution: what follows ``####`` (GSM8K), else the last ``\boxed{}``.

    >>> final_answer("so 5 + 3 = 8\n#### 8"), final_answer(r"thus \boxed{\frac{1}{2}}"), final_answer("42")
    ('8', '\\frac{1}{2}', '42')
    """
    if "####" in solution:
        return solution.rsplit("####", 1)[1].strip()
    start = solution.rfind("\\boxed{")
    if start < 0:
        return solution.strip()
    depth, begin = 1, start + len("\\boxed{")
    for end in range(begin, len(solution)):
        depth += {"{": 1, "}": -1}.get(solution[end], 0)
        if depth == 0:
            return solution[begin:end].strip()
    return ""


def _read_hugging_face(row: Row, index: int) -> RawPrompt:
    answer = row.get("answer") if row.get("answer") is not None else row.get("solution")
    return RawPrompt(
        id=_text(row.get("id")) or _text(row.get("uuid")) or str(index),
        question=_question(row.get("problem") if row.get("problem") is not None else row.get("question")),
        check=MathAnswer(final_answer(_text(answer))),
        domain=_text(row.get("domain")) or "math",
        language=_text(row.get("language")) or "en",
    )


LAYOUTS = (
    Layout("r1ray (prompt, check)", lambda c: {"prompt", "check"} <= c, _read_own),
    Layout("verl (prompt, reward_model)", lambda c: {"prompt", "reward_model"} <= c, _read_verl),
    Layout(
        "Hugging Face (problem or question, answer or solution)",
        lambda c: bool({"problem", "question"} & c) and bool({"answer", "solution"} & c),
        _read_hugging_face,
    ),
)


def recognise(columns: frozenset[str]) -> Layout | None:
    """The layout of a file with these columns, None where it is none of ours."""
    return next((layout for layout in LAYOUTS if layout.matches(columns)), None)
