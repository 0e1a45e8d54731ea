"""JSON of the user's files, read so that its values can be written again.

>>> parse('{"answer": 1, "answer": 2}')
Traceback (most recent call last):
    ...
ValueError: the key 'answer' is there twice
"""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Iterator
from decimal import Decimal
from typing import Any, TextIO


def parse(text: str | bytes) -> Any:
    """Return the value of a JSON text. Raises ValueError if it is no JSON, is nested too deeply, has a key twice, or
    holds half of a surrogate pair, which cannot be written to a file."""
    try:
        value = _loaded(text)
        if (b"\\ud" if isinstance(text, bytes) else "\\ud") in text.lower():  # type: ignore[operator]
            json.dumps(value, ensure_ascii=False).encode()
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error
    except UnicodeEncodeError as error:
        raise ValueError(f"{error.object[error.start]!r} is half of a surrogate pair, and no character") from error
    return value


def write(value: Any) -> str:
    """Return the JSON text of plain data, with integers of any length. ``json.dumps`` writes at most 4,300 digits.

    >>> write({"a": [10**2, None]}), len(write([10**5000]))
    ('{"a": [100, null]}', 5003)
    """
    with contextlib.suppress(ValueError):
        return json.dumps(value)
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(write, value))}]"
    if isinstance(value, dict):
        return f"{{{', '.join(f'{json.dumps(name)}: {write(item)}' for name, item in value.items())}}}"
    return str(Decimal(value)) if isinstance(value, int) else json.dumps(value)


def _loaded(text: str | bytes) -> Any:
    try:
        return json.loads(text, object_pairs_hook=_once)
    except ValueError as error:
        if "digits" not in str(error) or isinstance(error, json.JSONDecodeError):
            raise
    return json.loads(text, object_pairs_hook=_once, parse_int=lambda digits: int(Decimal(digits)))


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        raise ValueError(f"the key {next(name for name in names if names.count(name) > 1)!r} is there twice")
    return found


class ArrayItems:
    """The items of a JSON array, read one at a time, since a file may be larger than memory.

    >>> import io
    >>> [text for _, text in ArrayItems(io.StringIO(' [{"a": 1},\\n 2]'))]
    ['{"a": 1}', '2']
    """

    def __init__(self, source: TextIO, *, chunk: int = 2**20) -> None:
        self._source, self._chunk = source, chunk
        self._text, self._at, self._is_end = "", 0, False
        self._lines = 1
        """Number of the line in which the held text begins."""

    def __iter__(self) -> Iterator[tuple[int, str]]:
        """Yield the number (from 1 on) and the text of each item. Raises ValueError if the file is no array."""
        self._take("[")
        number = 0
        while not (self._sign() == "]" and number == 0):
            number += 1
            yield number, self._item(number)
            if self._sign() == "]":
                break
            self._take(",")
        self._take("]")
        if self._sign():
            raise ValueError(f"line {self._line(self._at)}: not JSON: there is more after the end of the array")

    def _item(self, number: int) -> str:
        while True:
            self._sign()
            try:
                _, end = _EXTENT.raw_decode(self._text, self._at)
            except json.JSONDecodeError as error:
                if self._is_end or not self._may_be_cut(error):
                    where = f"line {self._line(error.pos)}, item {number} of the array"
                    raise ValueError(f"{where}: not JSON: {error.msg}") from error
            except RecursionError as error:
                raise ValueError(f"item {number} of the array is nested too deeply") from error
            else:
                after = self._text[end : end + _NEAR]  # a number may continue after a dot
                if self._is_end or len(after) == _NEAR or (after and after[0] in " \t\r\n,]"):
                    text, self._at = self._text[self._at : end], end
                    return text
            self._more()

    def _may_be_cut(self, error: json.JSONDecodeError) -> bool:
        """Return whether the error may come from text that is not read yet: an unclosed string, or a place close to the
        end."""
        return error.msg.startswith("Unterminated string") or error.pos >= len(self._text) - _NEAR

    def _take(self, sign: str) -> None:
        if self._sign() != sign:
            found = self._text[self._at : self._at + 20]
            raise ValueError(f"line {self._line(self._at)}: not JSON: needs {sign} in an array, found {found!r}")
        self._at += 1

    def _sign(self) -> str:
        """Go to the next character that is no blank, and return it; "" at the end."""
        while True:
            self._at = _BLANKS.match(self._text, self._at).end()  # type: ignore[union-attr] # matches everywhere
            if self._at < len(self._text) or self._is_end:
                return self._text[self._at : self._at + 1]
            self._more()

    def _more(self) -> None:
        """Read as much again as is held, so that a long item is not scanned too often."""
        self._lines += self._text.count("\n", 0, self._at)
        self._text = self._text[self._at :]
        self._at = 0
        read = self._source.read(max(self._chunk, len(self._text)))
        self._is_end = not read
        self._text += read

    def _line(self, at: int) -> int:
        return self._lines + self._text.count("\n", 0, at)


_NEAR = 16
"""Number of characters before the end of the read text in which a value may be cut: ``\\ud83d``, ``tru``, ``1e+``."""
_BLANKS = re.compile(r"[ \t\r\n]*")
_EXTENT = json.JSONDecoder(parse_int=str, parse_float=str)
"""Decoder that finds the end of a value. :func:`parse` decides whether the value can be used."""
