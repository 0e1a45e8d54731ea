"""Two rows of a published layout, and what is to be made of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Fixture:
    source: str
    """Where the columns were looked up: the data set's card, or a loader of it."""
    rows: tuple[dict[str, Any], dict[str, Any]]
    """With the published columns; the texts are ours."""
    made: tuple[Any, ...]
    """Texts by row: what is asked and what is learned; a text that is in the reason where a row is left out."""
