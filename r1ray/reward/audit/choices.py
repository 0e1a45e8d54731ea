"""Wrong answers to questions with options: another letter, several letters, a denied one, or the list again."""

from __future__ import annotations

from collections.abc import Callable

from r1ray.checks import Choice
from r1ray.data.checks import LETTERS

WrongAnswers = Callable[[str, list[str]], list[str]]


def others(right: str, wrong: list[str]) -> list[str]:
    return [*wrong, f"\\text{{{wrong[0]}}}", f"({wrong[-1]})"]


def several(right: str, wrong: list[str]) -> list[str]:
    letters = sorted([right, *wrong])
    found = [f"{right} (or {', '.join(wrong)})", f"{right} or {wrong[0]}", f"{wrong[0]} or {right}"]
    return [*found, ", ".join(letters), "".join(letters), " and ".join(letters), f"{wrong[0]}, {right}"]


def denied(right: str, wrong: list[str]) -> list[str]:
    return [
        f"({right}) is wrong",
        f"not {right}",
        f"{right} is incorrect",
        f"anything but {right}",
        f"{wrong[0]}, not {right}",
    ]


def option_list(right: str, wrong: list[str]) -> list[str]:
    letters = sorted([right, *wrong])
    return ["\n".join(f"{letter}. {_option(letter)}" for letter in letters), "\n".join(f"({each})" for each in letters)]


def beyond(right: str, wrong: list[str]) -> list[str]:
    after = LETTERS[len(wrong) + 1 :][:1] or "?"
    return [after, "all of the above", "none", right.lower() * 3, "?"]


CHOICE_KINDS: dict[str, WrongAnswers] = {
    "another option": others,
    "several options": several,
    "option denied": denied,
    "list of options": option_list,
    "no option": beyond,
}
"""Kinds of wrong answers. Each function gets the right letter and the wrong ones."""


def wrong_letters(check: Choice) -> list[str]:
    """Return the letters of the other options, or the letter after the options if there is only one option."""
    found = [letter for letter in LETTERS[: check.num_options] if letter != check.letter]
    return found or [LETTERS[check.num_options]]


def _option(letter: str) -> str:
    return f"the option {letter}"
