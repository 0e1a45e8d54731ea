"""Tree of sequences with common beginnings, in which each beginning is computed once.

    prompt a b c                 prompt a b c
    prompt a b d e       -->                d e
    prompt f                            f

Equal tokens after equal tokens at equal positions have equal hidden states, whichever policy sampled them. Nodes lie
depth first in the row, so that the tokens below a node are one range.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from r1ray.algo.batching import is_worth_sharing
from r1ray.learner.layout import Node

Ids = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Tree:
    """Sequences as a tree of their tokens."""

    ids_N: Ids  # [N] int64, node after node
    positions_N: Ids  # [N] int64, from 0 in each sequence
    nodes: tuple[Node, ...]
    places: tuple[Ids, ...]
    """Places of the tokens of each sequence, [T] int64."""


@dataclass(slots=True)
class _Part:
    """Sequences with common first tokens; the tokens up to ``start`` are in nodes above."""

    members: list[int]
    start: int
    parent: int | None


def plan_tree(sequences: Sequence[Ids], *, shares_all: bool = False) -> Tree:
    """Return the tree of sequences [T] of one token or more.

    Args:
        shares_all: share every common beginning, even if it does not pay.
    """
    nodes: list[Node] = []
    ids: list[Ids] = []
    positions: list[Ids] = []
    places: list[list[Ids]] = [[] for _ in sequences]
    num_tokens = 0
    todo = [_Part(members, 0, None) for members in reversed(_by_next(range(len(sequences)), sequences, at=0))]
    while todo:
        part = todo.pop()
        end, children = _shared(part, sequences, shares_all=shares_all)
        number = part.parent
        if end > part.start:
            number, start = len(nodes), num_tokens
            num_tokens += end - part.start
            nodes.append(Node(start, num_tokens, num_tokens, part.parent))
            own = np.arange(start, num_tokens)
            ids.append(sequences[part.members[0]][part.start : end])
            positions.append(np.arange(part.start, end))
            for member in part.members:
                places[member].append(own)
        todo += [_Part(members, end, number) for members in reversed(children)]
    return Tree(
        ids_N=np.concatenate(ids),
        positions_N=np.concatenate(positions),
        nodes=_with_last(nodes),
        places=tuple(np.concatenate(each) for each in places),
    )


def _shared(part: _Part, sequences: Sequence[Ids], *, shares_all: bool) -> tuple[int, list[list[int]]]:
    """Return where the shared tokens of a part's node end, and the members of each part below it."""
    end = _common_end(part.members, sequences, start=part.start)
    longer = [member for member in part.members if len(sequences[member]) > end]
    children = _by_next(longer, sequences, at=end)
    # Sequences that end here need no nodes of their own: they count as one.
    num_ways = len(children) + (len(longer) < len(part.members))
    saved = (num_ways - 1) * (end - part.start)
    below = sum(len(sequences[member]) - end for member in longer)
    if len(part.members) == 1 or num_ways == 1 or shares_all or is_worth_sharing(saved, below):
        return end, children
    ended = [member for member in part.members if len(sequences[member]) == end]
    return part.start, [*([ended] if ended else []), *children]


def _common_end(members: Sequence[int], sequences: Sequence[Ids], *, start: int) -> int:
    """Return the number of first tokens that the sequences have in common."""
    first = sequences[members[0]]
    end = len(first)
    for member in members[1:]:
        other = sequences[member][start:end]
        end = start + len(other)
        if len(differs := np.flatnonzero(other != first[start:end])):
            end = start + int(differs[0])
    return end


def _by_next(members: Sequence[int], sequences: Sequence[Ids], *, at: int) -> list[list[int]]:
    """Return the members in parts with equal tokens at a position, in the order of their first members."""
    parts: dict[int, list[int]] = {}
    for member in members:
        parts.setdefault(int(sequences[member][at]), []).append(member)
    return list(parts.values())


def _with_last(nodes: Sequence[Node]) -> tuple[Node, ...]:
    """Return the nodes with ``last`` set to the end of everything below them."""
    last = [node.end for node in nodes]
    for number in reversed(range(len(nodes))):
        parent = nodes[number].parent
        if parent is not None:
            last[parent] = max(last[parent], last[number])
    return tuple(replace(node, last=end) for node, end in zip(nodes, last, strict=True))
