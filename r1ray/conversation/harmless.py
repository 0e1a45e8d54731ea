"""Text that others wrote, without the tokens that it spells.

A tokenizer takes ``<|im_end|>`` in a tool's result for the end of a turn, and there is no switch for tokens that are
added without being special (``<tool_call>``). So the text is rewritten: a blank behind the first character.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any


class Harmless:
    """Rewrites text, so that none of a tokenizer's marks is in it."""

    def __init__(self, tokenizer: Any) -> None:
        marks = sorted(set(_marks(tokenizer)), key=len, reverse=True)
        self._marks = re.compile("|".join(map(re.escape, marks)) or "(?!)")

    def __call__(self, text: str) -> str:
        """Return the text with each mark in it broken: again, where breaking one leaves another."""
        while self._marks.search(text):
            text = self._marks.sub(_broken, text)
        return text

    def values(self, value: Any) -> Any:
        """Return plain data with all its texts rewritten, keys among them."""
        if isinstance(value, str):
            return self(value)
        if isinstance(value, Mapping):
            return {self.values(key): self.values(each) for key, each in value.items()}
        return [self.values(each) for each in value] if isinstance(value, list | tuple) else value


def _marks(tokenizer: Any) -> list[str]:
    """Return the texts of special tokens, and of added ones that are no words and no blanks."""
    added = [(token.content, bool(token.special)) for token in tokenizer.added_tokens_decoder.values()]
    return [text for text, is_special in added if text.strip() and (is_special or _is_markup(text))]


def _is_markup(text: str) -> bool:
    return len(text) > 1 and not text[0].isalnum() and not text[0].isspace()


def _broken(found: re.Match[str]) -> str:
    text = found[0]
    return f"{text[0]} {text[1:]}" if len(text) > 1 else " "
