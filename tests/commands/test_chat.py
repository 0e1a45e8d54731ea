from __future__ import annotations

import io
import sys

import pytest

from r1ray.commands.chat import command, shown
from r1ray.errors import UserError


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "needs one RUN_DIR"),
        (["a", "temperature=warm"], "temperature=warm: needs a number"),
        (["a", "max_tokens=1.5"], "max_tokens=1.5: needs a number"),
        (["a", "template=mine"], "template=mine"),
        (["a", "steps=3"], "chat has no such key"),
        (["a", "--once", " "], "--once: needs a text"),
        (["/nowhere/at/all"], "no such folder"),
    ],
)
def test_what_cannot_be_is_refused_before_anything_starts(words: list[str], message: str) -> None:
    with pytest.raises(UserError, match=message):
        command(words)


def test_an_answer_is_harmless_on_a_terminal_and_whole_for_a_program(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdout", io.StringIO())
    assert shown("a\x1b[2Jb") == "a\x1b[2Jb"
    monkeypatch.setattr(sys, "stdout", Terminal())
    assert shown("a\x1b[2Jb") == "a\\x1b[2Jb"
