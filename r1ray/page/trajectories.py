"""Rows of the rollout log as the page has them: a group with its trajectories, ready to be JSON.

Texts stay texts: nothing here makes HTML of them. A long one is cut in its middle, and says so.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from r1ray.page.curves import number_of, rounded
from r1ray.page.marks import differences_of, largest_difference, phrases_of

MAX_CHARS = 8_000
"""Of a segment in the static file."""
SHOWN = (
    *("step", "stage", "group_id", "prompt_id", "trajectory", "environment", "domain", "language", "prompt_text"),
    *("response_text", "answer", "extracted", "group_status", "dropped_reason", "reward", "rewards", "outcome"),
    *("label", "detail", "advantage", "status", "num_policy_tokens", "num_turns", "versions", "seconds", "segments"),
    *("prompt_tokens", "num_context_tokens", "num_branches", "tests", "turn_rewards", "learner_updates"),
)
"""Columns that have a place in the page; those that are added to the log later are listed by their names."""


def group_of(
    rows: Sequence[Mapping[str, Any]], *, part: int, kind: str, suspicions: Sequence[str | None], max_chars: int | None
) -> dict[str, Any]:
    """Return a group of the rollout log.

    Args:
        rows: of the group, at least one; a dropped group has one without a trajectory.
        suspicions: why each row is suspected, see :data:`r1ray.page.marks.SUSPICIONS`.
        max_chars: of a segment's text; None leaves all of it.
    """
    first = rows[0]
    phrases = phrases_of([row.get("response_text") or "" for row in rows])
    names = ("step", "group_id", "prompt_id", "environment", "domain", "language", "answer", "group_status")
    return {
        "part": part,
        "kind": kind,
        **{name: first.get(name) for name in (*names, "dropped_reason")},
        "prompt": _cut(first.get("prompt_text") or "", max_chars)[0],
        "trajectories": [
            _trajectory_of(row, suspicion, max_chars) | {"phrases": said}
            for row, suspicion, said in zip(rows, suspicions, phrases, strict=True)
        ],
    }


def _trajectory_of(row: Mapping[str, Any], suspicion: str | None, max_chars: int | None) -> dict[str, Any]:
    segments: list[Mapping[str, Any]] = row.get("segments") or []
    turn_rewards = iter(row.get("turn_rewards") or ())
    names = ("trajectory", "outcome", "label", "detail", "extracted", "status", "num_policy_tokens", "num_turns")
    return {
        **{name: row.get(name) for name in (*names, "versions", "tests")},
        "reward": rounded(number_of(row.get("reward"))),
        "advantage": rounded(number_of(row.get("advantage"))),
        "rewards": {name: rounded(number_of(value)) for name, value in (row.get("rewards") or {}).items()},
        "seconds": {name: rounded(number_of(value)) for name, value in (row.get("seconds") or {}).items()},
        "mismatch": rounded(largest_difference(segments, num_updates=row.get("learner_updates"))),
        "updates": row.get("learner_updates"),
        "suspicion": suspicion,
        "segments": [_segment_of(segment, turn_rewards, max_chars) for segment in segments]
        or _whole_text(row.get("response_text") or "", max_chars),
        "others": {name: value for name, value in row.items() if name not in SHOWN and value is not None},
    }


def _segment_of(
    segment: Mapping[str, Any], turn_rewards: Iterator[Mapping[str, float]], max_chars: int | None
) -> dict[str, Any]:
    """Return a segment; one of the policy's is a turn, with the next of ``turn_rewards``, if there are any."""
    text, num_cut = _cut(segment.get("text") or "", max_chars)
    names = ("kind", "role", "tool", "stop", "branch", "versions")
    found = {name: segment.get(name) for name in names} | {"text": text, "num_cut": num_cut}
    if segment.get("kind") == "policy" and (paid := next(turn_rewards, None)):
        found["rewards"] = {name: rounded(number_of(value)) for name, value in paid.items()}
    ends, difference = segment.get("token_ends"), differences_of(segment)
    if ends and not num_cut:
        found["lengths"] = np.diff(ends, prepend=0).tolist()  # small numbers, which compress well
        if difference is not None:
            found["differences"] = np.round(100 * difference).astype(int).tolist()
    return found


def _whole_text(text: str, max_chars: int | None) -> list[dict[str, Any]]:
    """Return the segment of a trajectory whose row has a text alone."""
    shown, num_cut = _cut(text, max_chars)
    return [{"kind": "policy", "role": "", "text": shown, "num_cut": num_cut}] if text else []


def _cut(text: str, max_chars: int | None) -> tuple[str, int]:
    """Return a text, or its beginning and its end, and the number of characters between."""
    if max_chars is None or len(text) <= max_chars:
        return text, 0
    half, num_cut = max_chars // 2, len(text) - max_chars
    return f"{text[:half]}\n[... {num_cut} characters are left out ...]\n{text[-half:]}", num_cut
