"""Removal of special tokens from text of others.

A tokenizer takes ``<|im_end|>`` in a tool's result for the end of a turn, and has no switch for tokens that are added
without being special (``<tool_call>``). So the text is rewritten: a blank is inserted after the first character.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

TRIES = 8


class Harmless:
    """Rewrites text so that it contains none of a tokenizer's marks."""

    def __init__(self, tokenizer: Any) -> None:
        marks = _marks(tokenizer)
        texts = sorted((token.content for token in marks.values()), key=len, reverse=True)
        self._marks = re.compile("|".join(map(re.escape, texts)) or "(?!)")
        self._tokenizer = tokenizer
        self._normalized = {number for number, token in marks.items() if token.normalized and tokenizer.is_fast}
        """Marks that a tokenizer finds in normalized text, where letters of another width may spell them."""

    def __call__(self, text: str) -> str:
        """Return the text with each mark in it broken, repeatedly if breaking one creates another."""
        while self._marks.search(text):
            text = self._marks.sub(_broken, text)
        return self._by_tokens(text) if self._normalized else text

    def _by_tokens(self, text: str) -> str:
        for _ in range(TRIES):
            made = self._tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)
            places = zip(made["input_ids"], made["offset_mapping"], strict=True)
            found = [place for number, place in places if number in self._normalized]
            for start, end in reversed(found):
                text = f"{text[: start + 1]} {text[start + 1 :]}" if end > start + 1 else f"{text[:start]} {text[end:]}"
            if not found:
                break
        return text

    def values(self, value: Any) -> Any:
        """Return plain data with all texts in it rewritten, including keys."""
        if isinstance(value, str):
            return self(value)
        if isinstance(value, Mapping):
            return {self.values(key): self.values(each) for key, each in value.items()}
        return [self.values(each) for each in value] if isinstance(value, list | tuple) else value


def _marks(tokenizer: Any) -> dict[int, Any]:
    """Return the special tokens, and the added tokens that are neither words nor blanks."""
    added = tokenizer.added_tokens_decoder.items()
    return {n: each for n, each in added if each.content.strip() and (each.special or _is_markup(each.content))}


def _is_markup(text: str) -> bool:
    return len(text) > 1 and not text[0].isalnum() and not text[0].isspace()


def _broken(found: re.Match[str]) -> str:
    text = found[0]
    return f"{text[0]} {text[1:]}" if len(text) > 1 else " "
