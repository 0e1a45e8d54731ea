"""Sequences end to end in one row, as every forward pass of a learner gets them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from r1ray.learner.layout import Layout, plan_layout


@dataclass(frozen=True, slots=True)
class Packed:
    """Sequences end to end."""

    input_ids_N: torch.Tensor  # [N] int64
    position_ids_N: torch.Tensor  # [N] int64, from 0 in each sequence
    chosen_N: torch.Tensor  # [N] bool: whose log-probabilities are wanted; never the first of a sequence
    layout: Layout
    num_tokens: int
    """N without padding."""
    choices_NLK: torch.Tensor | None = None  # [N, layers, K] int32
    """The experts that the engine chose, and -1 where it does not say; None: routers choose."""


def pack_sequences(
    sequences: Sequence[tuple[torch.Tensor, torch.Tensor]], *, device: torch.device, multiple: int = 1
) -> Packed:
    """Token ids [T] int64 and chosen tokens [T] bool of each sequence, end to end.

    Args:
        multiple: N is made a multiple of this, by a last sequence of padding.
    """
    ids, chosen = [ids for ids, _ in sequences], [chosen for _, chosen in sequences]
    num_tokens = sum(len(part) for part in ids)
    if padding := -num_tokens % multiple:
        ids.append(torch.zeros(padding, dtype=torch.int64))
        chosen.append(torch.zeros(padding, dtype=torch.bool))
    lengths = [len(part) for part in ids]
    return Packed(
        input_ids_N=torch.cat(ids).to(device),
        position_ids_N=torch.cat([torch.arange(length) for length in lengths]).to(device),
        chosen_N=torch.cat(chosen).to(device),
        layout=plan_layout(lengths, device=device),
        num_tokens=num_tokens,
    )


def nothing(*, device: torch.device, multiple: int = 1) -> Packed:
    """Two tokens, one of them chosen: for a rank without work."""
    return pack_sequences([(torch.zeros(2, dtype=torch.int64), torch.arange(2) > 0)], device=device, multiple=multiple)
