"""Marks of single trajectories: those that look like a hack of the reward, phrases of re-evaluation, and how far
learner and engine differ on their tokens. The ready filters of the rollout browser show what they mark."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from r1ray.telemetry.reflection import find_in_each

RIGHT = "correct"
FEW_TOKENS = 0.1
"""One that is shorter than this share of the median of a step's right answers was hardly worked out."""
LEAST_MEDIAN = 40
"""Tokens: below it all answers are short."""
AS_RIGHT = "paid like the best right answer, and is none"
TOO_SHORT = "right in a tenth of the tokens that the step's right answers take"
SUSPICIONS = (None, AS_RIGHT, TOO_SHORT)


def suspicions(index: pa.Table) -> np.ndarray:
    """Return for each row of an index why it looks like a hack of the reward, [N] int8: the place of the reason in
    ``SUSPICIONS``, 0 for most of them.

    Two signs are looked for, step by step: a trajectory whose label is not ``correct`` and which gets at least as
    much as the best paid right one, and a right one that is much shorter than the others.
    """
    found = np.zeros(len(index), dtype=np.int8)
    is_right = pc.fill_null(pc.equal(index["label"], RIGHT), False).to_numpy()
    is_wrong = pc.fill_null(pc.not_equal(index["label"], RIGHT), False).to_numpy()
    reward = index["reward"].to_numpy(zero_copy_only=False).astype(np.float64)
    tokens = index["num_policy_tokens"].to_numpy(zero_copy_only=False).astype(np.float64)
    for begin, end in _spans(index["file"].to_numpy()):
        here = slice(begin, end)
        right = is_right[here] & np.isfinite(reward[here]) & np.isfinite(tokens[here])
        if not right.any():
            continue
        paid, length = reward[here][right].max(), np.median(tokens[here][right])
        found[here][is_wrong[here] & (reward[here] >= paid)] = SUSPICIONS.index(AS_RIGHT)
        if length >= LEAST_MEDIAN:
            found[here][right & (tokens[here] < FEW_TOKENS * length)] = SUSPICIONS.index(TOO_SHORT)
    return found


def phrases_of(texts: Sequence[str]) -> list[list[str]]:
    """Return of each text the names of the phrases with which it goes back on itself, each once, in order."""
    return [list(dict.fromkeys(found.phrase for found in each)) for each in find_in_each(texts)]


def largest_difference(segments: Sequence[Mapping[str, Any]], *, num_updates: int | None) -> float | None:
    """Return the largest difference of learner and engine on a token of a trajectory, in nats; None where the learner's
    log-probabilities are not known, or are those after an update of the step: that is what moved them then.

    Args:
        num_updates: ``learner_updates`` of the row.
    """
    largest = None
    for segment in () if num_updates else segments:
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
