from __future__ import annotations

from typing import Any

import numpy as np

from r1ray.data.sft_examples import PreferencePair, SFTExample
from r1ray.stages.first_examples import MAX_PARTS, example_lines


class Letters:
    """A tokenizer whose tokens are letters."""

    def decode(self, ids: Any) -> str:
        return "".join(map(chr, ids))


def example(*parts: str, id: str = "7") -> SFTExample:
    """Questions and answers in turn."""
    text = "".join(parts)
    mask = np.repeat([number % 2 == 1 for number in range(len(parts))], [len(part) for part in parts])
    return SFTExample(id, np.array([ord(letter) for letter in text], np.int32), mask)


def test_every_answer_that_is_learned_is_marked() -> None:
    (line,) = example_lines(example("2+3?\n", "5.", "And 2+4?", "6."), Letters())
    assert line == "7: 2+3?\\n[[5.]]And 2+4?[[6.]]"


def test_long_texts_and_dialogues_are_cut() -> None:
    (line,) = example_lines(example("a" * 9999, *["q", "a"] * MAX_PARTS), Letters())
    assert len(line) < 600 and line.endswith(f" ... and {MAX_PARTS + 1} more turns")


def test_of_a_pair_both_answers_and_the_margin_are_shown() -> None:
    pair = PreferencePair(example("2+3?", "5."), example("2+3?", "6."), 0.5)
    assert example_lines(pair, Letters()) == ["7: 2+3?", "  chosen: [[5.]]", "  rejected: [[6.]]", "  margin: 0.5"]
