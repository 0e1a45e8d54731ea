"""Detection of rows that need more than text. r1ray prompts models with text only, and a question must not silently
lose its image."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from r1ray.data.checks import MalformedRow, UnusableRow

COLUMN = re.compile(
    r"(?:decoded_|question_|problem_)?(?:images?|img|pictures?|figures?|videos?|audios?|speech)"
    r"(?:_?(?:paths?|urls?|bytes|base64|files?|list|\d{1,2}))?|multi_?modal\w*"
)
"""Names of columns of images, videos and sound, in lower case."""
MARK = re.compile(r"\[img\]|<\|?(?:image|video|audio)(?:_pad|_\d+)?\|?>|!\[[^\]\n]{0,200}\]\([^)\n]{1,500}\)")
r"""Marks of an image in a text: ``<image>``, ``[img]``, or ``![...](...)`` in Markdown."""


class ShownMedia(UnusableRow):
    """The text of a question contains an image."""


def media_columns(row: Mapping[str, Any]) -> list[str]:
    """Return the columns of a row that hold an image, a video or sound."""
    return [
        name for name, value in row.items() if _is_file(value) or (COLUMN.fullmatch(name.lower()) and _holds(value))
    ]


def refuse_media(row: Mapping[str, Any]) -> None:
    """Raise MalformedRow for a row with an image, a video or sound in a column."""
    if found := media_columns(row):
        raise MalformedRow(f"the column {found[0]} holds an image, a video or sound: r1ray asks by text alone")


def refuse_marks(text: str) -> None:
    """Raise ShownMedia if the text of a question contains an image."""
    if found := MARK.search(text):
        raise ShownMedia(f"the question shows an image that is not text: {found[0]:.60}")


def _is_file(value: Any) -> bool:
    """Return whether a value is one of Hugging Face's images or sounds, or a list of them."""
    if isinstance(value, list) and value:
        return _is_file(value[0])
    return isinstance(value, bytes) or (
        isinstance(value, Mapping) and "bytes" in value and set(value) <= {"bytes", "path"} and any(value.values())
    )


def _holds(value: Any) -> bool:
    if isinstance(value, list):
        return any(map(_holds, value))
    if isinstance(value, Mapping):
        return any(map(_holds, value.values()))
    return isinstance(value, str | bytes) and bool(value.strip())
