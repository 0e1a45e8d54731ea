from __future__ import annotations

import pytest

from r1ray.data.json_text import parse


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "Expecting property name"),
        ("[" * 100_000, "nested too deeply"),
        ('{"a": ' * 5000, "nested too deeply"),
        ('{"a": {"b": 1, "b": 2}}', "the key 'b' is there twice"),
        (r'"\ud800"', r"'\\ud800' is half of a surrogate pair"),
        (r'{"\uDC00": 1}', r"'\\udc00' is half of a surrogate pair"),
        (b'"\xff"', "can't decode byte 0xff"),
    ],
)
def test_what_cannot_be_written_again_is_refused(text: str | bytes, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        parse(text)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        (r'"\ud83d\ude00"', "\U0001f600"),
        ("[1" + "0" * 5000 + "]", [10**5000]),
        (b'\xef\xbb\xbf{"a": 1}\r\n', {"a": 1}),
        (r'"\\ud800"', r"\ud800"),
        ('{"a": 1, "b": {"a": 2}}', {"a": 1, "b": {"a": 2}}),
        (str(10**400), 10**400),
    ],
)
def test_everything_else_is_read(text: str | bytes, value: object) -> None:
    assert parse(text) == value
