"""The places at which sequences begin and end in a row of many, and which of them are of like length.

lengths -> Layout -> groups of sequences, each as rows that are padded to the longest of the group -> back to the row
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

LIKE = 0.75
"""Sequences of a group are at least so long as this share of its longest; this bounds the padding."""


@dataclass(frozen=True, slots=True)
class Group:
    """Sequences of like length as rows."""

    place_BT: torch.Tensor  # [B, T] int64: where each token lies in the packed row; padding repeats a token
    real_BT: torch.Tensor  # [B, T] bool: False on padding


@dataclass(frozen=True, slots=True)
class Layout:
    """The places at which sequences begin and end in a packed row."""

    groups: tuple[Group, ...]
    inverse_N: torch.Tensor  # [N] int64: from the tokens of all groups, end to end, back to the packed row
    starts: torch.Tensor  # [B + 1] int32
    longest: int


def plan_layout(lengths: Sequence[int], *, device: torch.device) -> Layout:
    """The layout of sequences of ``lengths`` tokens, end to end."""
    starts = [0]
    for length in lengths:
        starts.append(starts[-1] + length)
    groups: list[Group] = []
    members: list[int] = []
    order = sorted(range(len(lengths)), key=lambda i: (-lengths[i], i))
    for position, index in enumerate(order):
        members.append(index)
        is_last = position + 1 == len(order)
        if is_last or lengths[order[position + 1]] < LIKE * lengths[members[0]]:
            column = torch.arange(lengths[members[0]])
            length_B1 = torch.tensor([lengths[i] for i in members]).unsqueeze(1)
            start_B1 = torch.tensor([starts[i] for i in members]).unsqueeze(1)
            groups.append(Group(start_B1 + torch.minimum(column, length_B1 - 1), column < length_B1))
            members = []
    ends = torch.cat([group.place_BT[group.real_BT] for group in groups])
    inverse = torch.empty_like(ends)
    inverse[ends] = torch.arange(len(ends))
    return Layout(
        tuple(Group(group.place_BT.to(device), group.real_BT.to(device)) for group in groups),
        inverse.to(device),
        torch.tensor(starts, dtype=torch.int32, device=device),
        max(lengths),
    )
