"""Ends of tokens in their text, in characters, so that a page can colour a text by token.

token ids, text --> pieces of text, by token --> ends

A tokenizer says what several tokens come to, not where each of them ends. Most tokens have a piece of their own, which
is the same everywhere: those are looked up. Where a character is made of several tokens, they are decoded together.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from itertools import accumulate
from pathlib import Path

from r1ray.runtime.remote_code import is_allowed
from r1ray.types import Int32Array

logger = logging.getLogger(__name__)

Decode = Callable[[Sequence[int]], str]
BROKEN = "\N{REPLACEMENT CHARACTER}"
"""Stands for bytes that are no character, or not one yet."""
LONGEST = 8
"""Tokens that are looked at for the end of a character. It has at most four bytes, and a token that ends it may begin
another one."""


class TokenEnds:
    """Finds the ends of tokens; the pieces of those that it has met are kept."""

    def __init__(self, decode: Decode, *, before: int) -> None:
        """
        Args:
            decode: returns the text of tokens, special ones with it.
            before: an ordinary token: some tokenizers leave out the blank that a text begins with.
        """
        self._decode, self._before = decode, before
        self._start = len(decode([before]))
        self._pieces: dict[int, str] = {}

    def __call__(self, token_ids: Sequence[int] | Int32Array, text: str) -> list[int] | None:
        """Return the end of each token in ``text``; what follows the text, as an end-of-sequence token does, is empty.
        None where the tokens do not spell the text."""
        ids = [int(token) for token in token_ids]
        pieces = [self._piece(token) for token in ids]
        if any(BROKEN in piece for piece in pieces):
            pieces = self._joined(ids, pieces)
        spelled = "".join(pieces)
        if not spelled.startswith(text):
            if pieces and spelled.lstrip().startswith(text):  # the blank that was left out
                pieces[0] = pieces[0].lstrip()
            else:
                return None
        return [min(end, len(text)) for end in accumulate(map(len, pieces))]

    def _piece(self, token: int) -> str:
        piece = self._pieces.get(token)
        if piece is None:
            piece = self._pieces[token] = self._text([token])
        return piece

    def _text(self, ids: Sequence[int]) -> str:
        return self._decode([self._before, *ids])[self._start :]

    def _joined(self, ids: Sequence[int], pieces: Sequence[str]) -> list[str]:
        """Return the pieces where a character that several tokens make is the last one's."""
        joined, first = list(pieces), 0
        while first < len(ids):
            last = first
            if BROKEN in pieces[first]:
                last = self._end_of_character(ids, pieces, first)
                joined[first : last + 1] = [""] * (last - first) + [self._text(ids[first : last + 1])]
            first = last + 1
        return joined

    def _end_of_character(self, ids: Sequence[int], pieces: Sequence[str], first: int) -> int:
        """Return the token with which the text from ``first`` on is whole; where it never is, the last before one that
        is whole by itself."""
        for last in range(first + 1, min(first + LONGEST, len(ids))):
            if BROKEN not in self._text(ids[first : last + 1]):
                return last
        last = first
        while last + 1 < len(ids) and BROKEN in pieces[last + 1]:
            last += 1
        return last


def ends_of(model: str) -> Callable[[Sequence[int] | Int32Array, str], list[int] | None]:
    """Return what finds the ends of a model's tokens. A tokenizer that cannot be had here costs the ends, and no run:
    they are None then.

    Args:
        model: its folder, or its name on a hub.
    """
    try:
        return _ends_of_file(Path(model) / "tokenizer.json") or _ends_of_model(model)
    except Exception as error:  # whatever a tokenizer's files, or its own code, raise
        logger.warning("the rollout log does not say where tokens end in their text: %s", error)
        return lambda token_ids, text: None


def _ends_of_file(path: Path) -> TokenEnds | None:
    """Return what a tokenizer in one file gives: transformers, which takes seconds to import, is not needed for it."""
    from tokenizers import Tokenizer

    if not path.is_file():
        return None
    tokenizer = Tokenizer.from_file(str(path))
    before = tokenizer.encode("a", add_special_tokens=False).ids[-1]
    return TokenEnds(lambda ids: str(tokenizer.decode(list(ids), skip_special_tokens=False)), before=before)


def _ends_of_model(model: str) -> TokenEnds:
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(model, trust_remote_code=is_allowed())
    before = tokenizer("a", add_special_tokens=False)["input_ids"][-1]
    return TokenEnds(lambda ids: str(tokenizer.decode(list(ids), clean_up_tokenization_spaces=False)), before=before)
