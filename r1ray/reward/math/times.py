r"""Times of day: ``3:45\text{ p.m.}`` is ``3:45 PM`` and ``15:45``."""

from __future__ import annotations

import re
from dataclasses import dataclass

_TIME = re.compile(
    r"([0-9]{1,2})(?:\s*:\s*([0-5][0-9])(?:\s*:\s*([0-5][0-9]))?)?\s*"
    r"(?:\\text\{\s*)?(?:([AaPp])\s*\.?\s*[Mm]|(noon|midnight)|o'clock)?\s*\.?\s*\}?"
)
_NAMED = {"noon": 12 * 60, "midnight": 0}
_PADDED = re.compile(r"[0-9]{1,2}:0[0-9]|0[0-9]:[0-9]{2}")
_CLOCK = re.compile(r"[0-9]{1,2}:[0-9]{2}")
_DIGIT = re.compile("[0-9]")


@dataclass(frozen=True, slots=True)
class _Time:
    seconds: int
    half: str
    """``a``, ``p``, or "" if the text does not say."""
    is_clock: bool

    def of_day(self) -> int:
        hours, rest = divmod(self.seconds, 3600)
        return (hours % 12 + (12 if self.half == "p" else 0)) * 3600 + rest if self.half else self.seconds


def _read(text: str) -> _Time | None:
    bare = text.strip()
    name = re.sub(r"\\text|[{} ]", "", bare).lower()
    if name in _NAMED:
        return _Time(_NAMED[name] * 60, "p" if name == "noon" else "a", True)
    found = _TIME.fullmatch(bare)
    if not found or bare.count("{") != bare.count("}"):
        return None
    hours, minutes, seconds = int(found.group(1)), int(found.group(2) or 0), int(found.group(3) or 0)
    half = (found.group(4) or {"noon": "p", "midnight": "a"}.get(found.group(5) or "", "")).lower()
    if hours > 23 or (half and not 1 <= hours <= 12):
        return None
    return _Time(hours * 3600 + minutes * 60 + seconds, half, found.group(2) is not None)


_SAYS_TIME = re.compile(r"[AaPp]\s*\.?\s*[Mm](?![a-z])|noon|midnight|o'clock")


def decide(reference: str, answer: str) -> bool | None:
    """Return whether two times of day are the same; None if neither text is clearly one."""
    if ":" in reference + answer:
        compact = [text.replace(" ", "") for text in (reference, answer)]
        padded = [bool(_PADDED.fullmatch(text)) for text in compact]
        if any(padded) and not any(_SAYS_TIME.search(text) for text in compact):
            pairs = [_read(text) for text in compact if _CLOCK.fullmatch(text)]
            return len(pairs) == 2 and pairs[0] == pairs[1]  # 11:05 is not 11:5, and 09:30 is no ratio
    if not _SAYS_TIME.search(f"{reference} | {answer}"):
        return None
    left, right = _read(reference), _read(answer)
    if left is None or right is None:
        return False if left and left.half and left.is_clock else None
    if not (left.half or right.half):
        return left.seconds == right.seconds
    if left.half and right.half:
        return left.of_day() == right.of_day()
    said, bare = (left, right) if left.half else (right, left)
    if not (bare.is_clock or (_DIGIT.search(reference) and _DIGIT.search(answer))):
        return False
    return bool(said.half) and bare.seconds in (said.seconds, said.of_day())
