"""Sequences with common beginnings, of every shape that a group has."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from r1ray.learner.packed import TokenRow

CPU = torch.device("cpu")


def rows_of(sequences: Sequence[Sequence[int]], *, start: int = 1) -> list[TokenRow]:
    """Token rows of which all but the first ``start`` tokens are chosen."""
    return [(torch.tensor(each), torch.arange(len(each)) >= start) for each in sequences]


def group(num: int, *, prompt: int, seed: int = 0, lengths: Sequence[int] = (3, 5, 4, 9, 2)) -> list[list[int]]:
    """A prompt with so many outputs, the first two of which begin with the same token."""
    rng = np.random.default_rng(seed)
    beginning = rng.integers(3, 60, prompt).tolist()
    made = [[*beginning, *rng.integers(3, 60, lengths[i % len(lengths)]).tolist()] for i in range(num)]
    if num > 1:
        made[1][prompt] = made[0][prompt]
    return made


_PROMPT = [5, 9, 12, 7, 30]
FORKED = [[*_PROMPT, 11, 12, 13], [*_PROMPT, 14, 15], [*_PROMPT, 11, 16, 17, 18]]
TREES: dict[str, list[list[int]]] = {
    "one prompt": group(5, prompt=6),
    "several prompts": [*group(3, prompt=4), *group(2, prompt=7, seed=1), [8, 4, 21]],
    "a first turn with two continuations": [
        [*_PROMPT, 11, 12, 40, 41, 42, 20, 21],
        [*_PROMPT, 11, 12, 40, 50, 22],
        [*_PROMPT, 11, 13, 23, 24],
    ],
    "a prompt that parts": [[5, 9, 12, 1, 2, 3], [5, 9, 12, 4, 2, 3, 6], [5, 8, 7], [6, 1]],
    "identical outputs": [[*_PROMPT, 11, 12], [*_PROMPT, 11, 12], [*_PROMPT, 13]],
    "nothing but identical sequences": [[*_PROMPT, 11, 12]] * 3,
    "an output that another begins with": [[*_PROMPT, 11], [*_PROMPT, 11, 12, 13], [*_PROMPT, 11, 12, 14]],
    "a chain": [list(range(3, 4 + n)) for n in range(1, 12)],
    "one sequence": [[3, 4, 5, 6]],
}
