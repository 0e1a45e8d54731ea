"""Responses of the last step, as examples. They are read only where a rule has found something."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from typing import Any

import pyarrow as pa

from r1ray.errors import UserError
from r1ray.telemetry.rollouts import read_rollouts, rollout_steps

LIGHT = ("label", "reward", "status", "group_status", "outcome", "detail", "num_policy_tokens", "group_id")
TEXTS = ("prompt_text", "response_text", "answer", "extracted")
MAX_ROWS = 2_000
"""That are looked through for an example."""
MAX_CHARS = 100
"""Limit of a text in an example."""


class Examples:
    """The rollouts of the last step that has any."""

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder

    @cached_property
    def rows(self) -> list[dict[str, Any]]:
        """The trajectories of the step, dropped ones too, without their texts."""
        return [row for row in self._read(LIGHT) if row["outcome"] is not None]

    @property
    def pass_rate(self) -> float | None:
        """Share that is labelled right; None where nothing is labelled."""
        labels = Counter(row["label"] for row in self.rows if row["outcome"] == "scored" and row["label"])
        return labels["correct"] / labels.total() if {"correct", "wrong", "no_answer"} & labels.keys() else None

    def first(self, is_wanted: Callable[[dict[str, Any]], bool]) -> str:
        """Return the first response that is wanted, in a line; empty where there is none."""
        for number, row in enumerate(self._read((*LIGHT, *TEXTS))):
            if number >= MAX_ROWS:
                break
            if row["outcome"] is not None and row["response_text"] is not None and is_wanted(row):
                return _line(row)
        return ""

    def _read(self, columns: tuple[str, ...]) -> Any:
        """Yield rows of the last file, with None for columns that are newer than it; none of one that is torn, or
        gone."""
        if self._folder is None:
            return
        try:
            steps = rollout_steps(self._folder)
            if steps:
                rows = read_rollouts(self._folder, step=steps[-1], columns=columns)
                yield from ({**dict.fromkeys(columns), **row} for row in rows)
        except (OSError, ValueError, KeyError, UserError, pa.ArrowException):
            return


def _line(row: dict[str, Any]) -> str:
    reference = f", reference {clipped(row['answer'])}" if row["answer"] else ""
    label = f", {row['label']}" if row["label"] else ""
    reward = f", reward {row['reward']:g}" if row["reward"] is not None else ""
    told = f"to {clipped(row['prompt_text'], is_end=True)} it says {clipped(row['response_text'], is_end=True)}"
    tokens = "1 token" if row["num_policy_tokens"] == 1 else f"{row['num_policy_tokens']} tokens"
    return f"{told} ({tokens}, {row['status']}{label}{reward}{reference})"


def clipped(text: str, *, is_end: bool = False) -> str:
    """Return a text of a model in quotes, short, and fit for a terminal: one line, without control characters."""
    is_long = len(text) > MAX_CHARS
    text = (text[-MAX_CHARS:] if is_end else text[:MAX_CHARS]) if is_long else text
    plain = " ".join("".join(each if each.isprintable() else " " for each in text).split())
    dots = "..." if is_long else ""
    return f'"{dots}{plain}"' if is_end else f'"{plain}{dots}"'
