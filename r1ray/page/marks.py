"""Marks of single trajectories: those that look like a hack of the reward, phrases of re-evaluation, and how far
learner and engine differ on their tokens. The ready filters of the rollout browser show what they mark."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from r1ray.telemetry.reflection import find_in_each

RIGHT = "correct"
FEW_TOKENS = 0.1
"""Of the median of a step's right answers: one that is shorter than this share of it was hardly worked out."""
LEAST_MEDIAN = 40
"""Tokens: below it all answers are short."""
AS_RIGHT = "paid like a right answer, and is none"
TOO_SHORT = "right in a tenth of the tokens that the step's right answers take"


def suspicions(index: pa.Table) -> np.ndarray:
    """Return for each row of an index why it looks like a hack of the reward, None for most of them.

    Two signs are looked for, step by step: a trajectory whose label is not ``correct`` and which gets at least the
    lowest reward of the right ones, and a right one that is much shorter than the others.
    """
    found = np.full(len(index), None, dtype=object)
    file, label = index["file"].to_numpy(), index["label"].to_numpy(zero_copy_only=False)
    reward = index["reward"].to_numpy(zero_copy_only=False).astype(np.float64)
    tokens = index["num_policy_tokens"].to_numpy(zero_copy_only=False).astype(np.float64)
    is_right, has_label = label == RIGHT, label != None  # noqa: E711 (an array of objects)
    for begin, end in _spans(file):
        here = slice(begin, end)
        right = is_right[here] & np.isfinite(reward[here])
        if not right.any():
            continue
        lowest, median = reward[here][right].min(), np.nanmedian(tokens[here][right])
        found[here][has_label[here] & ~is_right[here] & (reward[here] >= lowest)] = AS_RIGHT
        if median >= LEAST_MEDIAN:
            found[here][right & (tokens[here] < FEW_TOKENS * median)] = TOO_SHORT
    return found


def phrases_of(texts: Sequence[str]) -> list[list[str]]:
    """Return of each text the names of the phrases with which it goes back on itself, each once, in order."""
    return [list(dict.fromkeys(found.phrase for found in each)) for each in find_in_each(texts)]


def largest_difference(segments: Sequence[Mapping[str, Any]]) -> float | None:
    """Return the largest difference of learner and engine on a token of a trajectory, in nats; None where the learner's
    log-probabilities are not known."""
    largest = None
    for segment in segments:
        difference = differences_of(segment)
        if difference is not None and len(difference):
            largest = max(largest or 0.0, float(np.abs(difference).max()))
    return largest


def differences_of(segment: Mapping[str, Any]) -> np.ndarray | None:
    """Return log pi_learner - log pi_engine of each token of a segment, [T] float64; 0 where one is not a number."""
    engine, learner = segment.get("logprobs"), segment.get("learner_logprobs")
    if not engine or not learner or len(engine) != len(learner):
        return None
    with np.errstate(invalid="ignore"):
        difference = np.asarray(learner, dtype=np.float64) - np.asarray(engine, dtype=np.float64)
    return np.nan_to_num(difference, nan=0.0, posinf=99.0, neginf=-99.0)


def _spans(file: np.ndarray) -> list[tuple[int, int]]:
    """Return where the rows of each file begin and end."""
    borders = np.flatnonzero(np.diff(file)) + 1
    return list(zip([0, *borders], [*borders, len(file)], strict=True)) if len(file) else []
