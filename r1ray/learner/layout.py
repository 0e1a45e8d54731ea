"""Layout: positions of sequences, or nodes of a tree, in a packed row, and groups of similar length.

lengths -> Layout -> groups of sequences, each as rows padded to the longest of the group -> back to the row

In a tree a node also sees the tokens of the nodes above it, its path. Nodes lie depth first, so that everything below
a node is one range, which begins at the end of the node.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch

LIKE = 0.75
"""Least length of a sequence as a share of the longest in its group; this bounds the padding."""


@dataclass(frozen=True, slots=True)
class Group:
    """Sequences of similar length as rows."""

    place_BT: torch.Tensor  # [B, T] int64: index of each token in the packed row; padding repeats a token
    real_BT: torch.Tensor  # [B, T] bool: False on padding
    before_BA: torch.Tensor | None = None  # [B, A] int64: indices of the tokens on the paths above; None: none


@dataclass(frozen=True, slots=True)
class Node:
    """Tokens of a tree that everything below them sees."""

    start: int
    end: int
    last: int
    """End of the tokens below. Its own tokens are [start, end), those below it [end, last)."""
    parent: int | None
    """Number of the node directly above; None for a root."""


@dataclass(frozen=True)
class Layout:
    """Positions at which sequences, or nodes, begin and end in a packed row."""

    groups: tuple[Group, ...]
    """Sequences or nodes of similar length, whatever their paths."""
    inverse_N: torch.Tensor  # [N] int64: from the tokens of all groups, end to end, back to the packed row
    starts: torch.Tensor  # [B + 1] int32
    longest: int
    nodes: tuple[Node, ...] = ()
    """Nodes of a tree; empty: each sequence sees only itself."""

    @cached_property
    def inner(self) -> tuple[Node, ...]:
        """Return the nodes that have others below them."""
        return tuple(node for node in self.nodes if node.last > node.end)

    @property
    def seen(self) -> Layout | Paths:
        """Return the keys that the queries of each sequence or node see: its own tokens and those above it."""
        return self.paths if self.nodes else self

    @cached_property
    def paths(self) -> Paths:
        """Return the nodes with the tokens that they see above themselves."""
        return _plan_paths(self.nodes, device=self.starts.device)


@dataclass(frozen=True, slots=True)
class Paths:
    """Nodes with the paths above them."""

    groups: tuple[Group, ...]
    """Nodes of similar length, with the same number of tokens above."""
    inverse_N: torch.Tensor  # [N] int64, as in :class:`Layout`
    seen_M: torch.Tensor  # [M] int64: the tokens above each node and its own, node after node
    starts: torch.Tensor  # [B + 1] int32: where the tokens of each node begin
    longest: int


def plan_layout(lengths: Sequence[int], *, device: torch.device, nodes: Sequence[Node] = ()) -> Layout:
    """Return the layout of sequences of ``lengths`` tokens, end to end.

    Args:
        nodes: the same as nodes of a tree, if they form one.
    """
    starts = np.concatenate([[0], np.cumsum(lengths)])
    groups = [_group(members, lengths, starts, device=device) for members in _alike(range(len(lengths)), lengths)]
    return Layout(
        tuple(groups),
        _inverse(groups),
        torch.tensor(starts, dtype=torch.int32, device=device),
        max(lengths),
        tuple(nodes) if any(node.last > node.end for node in nodes) else (),
    )


def _plan_paths(nodes: Sequence[Node], *, device: torch.device) -> Paths:
    lengths = [node.end - node.start for node in nodes]
    starts = np.array([node.start for node in nodes])
    above: list[np.ndarray] = []
    seen: list[np.ndarray] = []
    for node in nodes:
        above.append(np.zeros(0, dtype=np.int64) if node.parent is None else seen[node.parent])
        seen.append(np.concatenate([above[-1], np.arange(node.start, node.end)]))
    by_depth: dict[int, list[int]] = {}
    for number, each in enumerate(above):
        by_depth.setdefault(len(each), []).append(number)
    groups = []
    for depth, numbers in by_depth.items():
        for members in _alike(numbers, lengths):
            before = torch.from_numpy(np.stack([above[number] for number in members])).to(device) if depth else None
            groups.append(_group(members, lengths, starts, device=device, before=before))
    sizes = [len(each) for each in seen]
    return Paths(
        tuple(groups),
        _inverse(groups),
        torch.from_numpy(np.concatenate(seen)).to(device),
        torch.tensor(np.concatenate([[0], np.cumsum(sizes)]), dtype=torch.int32, device=device),
        max(sizes),
    )


def _alike(numbers: Sequence[int], lengths: Sequence[int]) -> list[list[int]]:
    """Return sequences in groups of similar length, longest first."""
    found: list[list[int]] = []
    for number in sorted(numbers, key=lambda i: (-lengths[i], i)):
        if not found or lengths[number] < LIKE * lengths[found[-1][0]]:
            found.append([])
        found[-1].append(number)
    return found


def _group(
    members: Sequence[int],
    lengths: Sequence[int],
    starts: np.ndarray,
    *,
    device: torch.device,
    before: torch.Tensor | None = None,
) -> Group:
    column = torch.arange(lengths[members[0]])
    length_B1 = torch.tensor([lengths[i] for i in members]).unsqueeze(1)
    start_B1 = torch.tensor([int(starts[i]) for i in members]).unsqueeze(1)
    place_BT = start_B1 + torch.minimum(column, length_B1 - 1)
    return Group(place_BT.to(device), (column < length_B1).to(device), before)


def _inverse(groups: Sequence[Group]) -> torch.Tensor:
    places = torch.cat([group.place_BT[group.real_BT] for group in groups])
    inverse = torch.empty_like(places)
    inverse[places] = torch.arange(len(places), device=places.device)
    return inverse
