"""Overrides of the command line: ``KEY=VALUE``, ``+KEY=VALUE``, ``++KEY=VALUE`` and ``~KEY``.

``+`` and ``++`` are Hydra's signs for keys that are added. Nothing depends on them: with and without them, keys that
exist can be set, and names of the user's can be added.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from r1ray.errors import UserError

WORD = re.compile(r"(\+\+|\+|~|)([^=]*)(=?)(.*)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Word:
    """One override."""

    key: str
    text: str | None
    """The value as it was written; None: the key is to be taken out."""

    def __str__(self) -> str:
        return f"~{self.key}" if self.text is None else f"{self.key}={self.text}"


def parse(word: str) -> Word:
    """Return an override taken apart. Raises UserError.

    >>> parse("+a.b=c=d"), parse("~a.b")
    (Word(key='a.b', text='c=d'), Word(key='a.b', text=None))
    """
    found = WORD.fullmatch(word)
    assert found is not None  # it matches everything
    sign, key, is_set, text = found.groups()
    if not key:
        raise UserError(f"{word or 'an empty word'}: needs KEY=VALUE, such as learner.lr=1e-6.")
    if sign == "~" and is_set:
        raise UserError(f"{word}: needs ~{key} alone to take a key out.")
    if sign != "~" and not is_set:
        raise UserError(f"{word}: needs KEY=VALUE, without spaces around the sign, such as learner.lr=1e-6.")
    return Word(key, None if sign == "~" else text)
