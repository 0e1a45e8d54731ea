"""Calls as a name and an object with bare keys and with texts between marks: ``call:f{key:<|"|>text<|"|>,n:7}``."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass

from r1ray.conversation.calls import malformed, parsed_json, read_between, with_arguments
from r1ray.turns import ToolCall, ToolSchema

_KEY = re.compile(r"([{,]\s*)([^\s{}\[\],:\"]+)\s*:")


@dataclass(frozen=True, slots=True)
class QuotedCalls:
    """``opening before_name NAME {KEY:quote TEXT quote, KEY:VALUE, ...} closing``."""

    opening: str
    before_name: str
    quote: str
    closing: str

    def read(self, text: str, tools: Sequence[ToolSchema]) -> tuple[str, tuple[ToolCall, ...]]:
        return read_between(text, self.opening, self.closing, self._one)

    def _one(self, text: str) -> tuple[int | None, list[ToolCall]]:
        pieces, length = self._pieces(text)
        if length is None:
            return None, []
        whole = f"{self.opening}{text[:length]}"
        name, brace, rest = pieces[0].strip().removeprefix(self.before_name).partition("{")
        if not brace:
            return length, [malformed(whole, "no {...} follows its name")]
        try:
            return length, [with_arguments(name, parsed_json(_as_json([f"{brace}{rest}", *pieces[1:]])), whole)]
        except ValueError as error:
            return length, [malformed(whole, f"its arguments are no object {{key:value}}: {error}", name=name.strip())]

    def _pieces(self, text: str) -> tuple[list[str], int | None]:
        """Return the text before the closing mark, split at the quotes, and the length up to the mark's end; None if
        there is no mark. Texts between quotes may contain the mark."""
        pieces = text.split(self.quote)
        for place in range(0, len(pieces), 2):
            before, found, _ = pieces[place].partition(self.closing)
            if found:
                length = sum(len(piece) + len(self.quote) for piece in pieces[:place]) + len(before) + len(found)
                return [*pieces[:place], before], length
        return pieces, None


def _as_json(pieces: list[str]) -> str:
    """Return an object as JSON; every second piece is a text."""
    return "".join(
        json.dumps(piece) if place % 2 else _KEY.sub(lambda found: f"{found[1]}{json.dumps(found[2])}:", piece)
        for place, piece in enumerate(pieces)
    )
