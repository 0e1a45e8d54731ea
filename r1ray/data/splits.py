"""Files of a data set by the split in their names: ``train-00000-of-00005.parquet`` belongs to train."""

from __future__ import annotations

import re
from collections.abc import Sequence

NAMES = {
    "train": ("train", "training"),
    "validation": ("validation", "valid", "val", "dev"),
    "test": ("test", "testing", "eval", "evaluation"),
}
"""Words that stand for each split, as on the hub."""
SHARD = re.compile(r"-\d{5}-of-\d{5}(?=\.)")


def split_of(path: str) -> str | None:
    """Return the split that the last such word of a path names; None if it has no such word.

    >>> split_of("data/train-00000-of-00001.parquet"), split_of("test/part.jsonl"), split_of("latest.jsonl")
    ('train', 'test', None)
    """
    words = re.split(r"[^a-z]+", path.lower())
    found = [split for word in words for split, names in NAMES.items() if word in names]
    return found[-1] if found else None


def of_split(paths: Sequence[str], split: str) -> list[str]:
    """Return the paths whose names contain a split, as one of its words or by its own name. If no path names any split,
    all belong to train."""
    wanted = next((known for known, names in NAMES.items() if split in names), None)
    own = [path for path in paths if split in re.split(r"[/.]", SHARD.sub("", path))]
    if own or wanted is None:
        return own
    named = [path for path in paths if split_of(path) == wanted]
    is_unnamed = wanted == "train" and not any(split_of(path) for path in paths)
    return list(paths) if is_unnamed else named


def matches(path: str, pattern: str) -> bool:
    """Return whether a path matches a glob, whose ``*`` stays in one folder and whose ``**`` does not.

    >>> matches("data/a.jsonl", "*.jsonl"), matches("data/x/a.jsonl", "data/**/*.jsonl"), matches("a.json", "**")
    (False, True, True)
    """
    parts = re.split(r"(\*\*/|\*\*|\*|\?|\[[^\]]+\])", pattern)
    return re.fullmatch("".join(map(_expression_of, parts)), path) is not None


def _expression_of(part: str) -> str:
    signs = {"**/": "(?:.*/)?", "**": ".*", "*": "[^/]*", "?": "[^/]"}
    if part in signs:
        return signs[part]
    if not (part.startswith("[") and part.endswith("]")):
        return re.escape(part)
    inner = part[1:-1].replace("\\", r"\\")
    return f"[^{inner[1:]}]" if inner.startswith("!") else f"[{inner}]"
