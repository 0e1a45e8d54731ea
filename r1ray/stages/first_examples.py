"""The first rows of given answers, as the learner reads them: dialogues with what is learned of them, pairs of answers.

SFTExample, PreferencePair --tokens, decoded run by run--> lines for people
"""

from __future__ import annotations

import logging
from itertools import groupby
from typing import Any

from r1ray.data.sft_examples import PreferencePair, SFTExample
from r1ray.data.sft_rows import Rows
from r1ray.stages.first_rows import MAX_TEXT, NUM_SHOWN, one_line

logger = logging.getLogger(__name__)

MARKED = "[[what is learned]]"
MAX_PARTS = 6
"""Questions and answers of a dialogue that are shown."""


def say_first_examples(key: str, rows: Rows[Any], tokenizer: Any) -> None:
    """Log the first rows of a file.

    Args:
        key: of the configuration, that names the file.
    """
    firsts = [rows[index] for index in range(min(NUM_SHOWN, len(rows)))]
    lines = [line for each in firsts for line in example_lines(each, tokenizer)]
    logger.info("\n  ".join([f"{key}: the first rows as the learner reads them, with {MARKED}", *lines]))


def example_lines(example: SFTExample | PreferencePair, tokenizer: Any) -> list[str]:
    """Return what people are shown of a row."""
    if isinstance(example, SFTExample):
        return [f"{example.id}: {_joined(_parts(example, tokenizer))}"]
    question, *chosen = _parts(example.chosen, tokenizer)
    rejected = _parts(example.rejected, tokenizer)[1:]
    return [
        f"{example.id}: {question}",
        f"  chosen: {_joined(chosen)}",
        f"  rejected: {_joined(rejected)}",
        f"  margin: {example.margin:g}",
    ]


def _parts(example: SFTExample, tokenizer: Any) -> list[str]:
    """Return the text in turns, those that are learned between brackets. The first one never is."""
    parts, begin = [], 0
    for is_learned, run in groupby(example.loss_mask.tolist()):
        end = begin + len(list(run))
        text = one_line(tokenizer.decode(example.token_ids[begin:end]), MAX_TEXT)
        parts.append(f"[[{text}]]" if is_learned else text)
        begin = end
    return parts


def _joined(parts: list[str]) -> str:
    left = len(parts) - MAX_PARTS
    return "".join(parts[:MAX_PARTS]) + (f" ... and {left} more turns" if left > 0 else "")
